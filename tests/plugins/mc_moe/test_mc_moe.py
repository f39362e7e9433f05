from dataclasses import replace

import pytest
import torch

import edgetok
from edgetok.errors import TagConflict, UnsupportedModel
from edgetok.order import order
from edgetok.progress import Silent
from edgetok.registry import installed
from edgetok.sources.huggingface import load_directory
from edgetok.testing import zoo
from edgetok_plugins.mc_moe import McMoe
from edgetok_plugins.mc_moe.compress import compress
from edgetok_plugins.mc_moe.perplexity import perplexity
from edgetok_plugins.mc_moe.runtime import load_packed


@pytest.fixture(scope="module")
def directory(build, saved):
    sizes = {"hidden_size": 64, "moe_intermediate_size": 64, "num_hidden_layers": 1, "max_position_embeddings": 24}
    return saved(build("Qwen2Moe", "ForCausalLM", **sizes))


@pytest.fixture(scope="module")
def result(directory, tmp_path_factory):
    return edgetok.optimize(
        str(directory),
        plugins={"mc-moe": {"bits": 2.0, "group_size": 64, "samples": 4}},
        output=tmp_path_factory.mktemp("out") / "out",
        bench={"enabled": False},
    )


def test_a_bundle_is_small_and_proven_and_says_what_was_done(result):
    report = result.report
    assert report.parity.passed
    assert report.size_bytes.ratio > 1
    (row,) = report.rewrites
    assert row.site == "model.layers.0.mlp.experts"
    assert sum(int(part.split()[0]) for part in row.what.split(", ")) == 4
    assert {plugin.name: plugin.sites for plugin in report.plugins} == {"mc-moe": 1}
    assert any("generated inputs" in note for note in report.notes)
    assert any(note.startswith("Experts have") for note in report.notes)


def test_a_dry_run_prints_the_places_and_reads_no_weights(directory, tmp_path):
    blank = tmp_path / "model"
    blank.mkdir()
    for file in directory.iterdir():
        content = file.read_bytes()
        length = int.from_bytes(content[:8], "little") + 8
        data = content if file.suffix == ".json" else content[:length] + b"\xff" * (len(content) - length)
        (blank / file.name).write_bytes(data)
    plan = edgetok.optimize(str(blank), plugins={"mc-moe": {"bits": 2.0}}, dry_run=True).plan
    assert "model.layers.0.mlp.experts  mc-moe  4 experts, of 1/2/3 bits each, 2 on average" in str(plan)


def test_with_another_method_that_changes_precision_it_is_refused():
    quantize = installed().plugins["quantize"].value
    with pytest.raises(TagConflict, match="mc-moe"):
        order([McMoe(), quantize()])


def test_with_token_merging_it_goes_before_or_after():
    tome = installed().plugins["tome"].value
    assert {plugin.name for plugin in order([McMoe(), tome()])} == {"mc-moe", "tome"}


def test_places_of_an_unknown_layout_are_refused_by_name():
    class OddExperts(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(4, 2, 2))

    component = zoo.component("odd", torch.nn.Sequential(OddExperts()), {})
    with pytest.raises(UnsupportedModel, match="OddExperts"):
        McMoe().places(component)


def test_min_count_may_be_written_as_a_table():
    assert McMoe(min_count={3: 2}) == McMoe(min_count=((3, 2),))
    assert McMoe(widths=(4, 2)).least == {2: 1}


def test_its_directory_goes_with_a_model(directory):
    assert load_directory(directory, source="x").directory == directory


def test_baselines_are_in_the_notes_where_they_can_be_had(directory, tmp_path, monkeypatch):
    monkeypatch.setattr("edgetok_plugins.mc_moe.compare.SEEDS", range(1))
    plugin = McMoe(bits=2.0, group_size=64, method="rtn", baselines=True)
    model = load_directory(directory, source="x")
    ids = torch.arange(8 * 12).reshape(8, 12) % 64
    done = plugin.rewrite(model, model.only, {"input_ids": ids}, tmp_path, Silent())
    assert any("spent otherwise: uniform" in note for note in done.notes)
    (tmp_path / "few").mkdir()
    few = plugin.rewrite(model, model.only, {"input_ids": ids[:4]}, tmp_path / "few", Silent())
    assert few.notes[-1].startswith("No baselines")


class Chosen(Exception):
    """Carries a device."""


@pytest.mark.parametrize(("cuda", "expected"), [(True, "cuda"), (False, "cpu")])
@pytest.mark.parametrize(
    ("kept", "place"), [(True, "compress.compress"), (False, "stream.open_component")], ids=["directory", "memory"]
)
def test_cuda_computes_where_there_is_one(directory, tmp_path, monkeypatch, cuda, expected, kept, place):
    """In both ways: a model in a directory, and one in memory."""
    model = load_directory(directory, source="x")
    model = model if kept else replace(model, directory=None)

    def chosen(*arguments, device=None, **_):
        raise Chosen(torch.device(device or arguments[-1]))

    monkeypatch.setattr(f"edgetok_plugins.mc_moe.{place}", chosen)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    with pytest.raises(Chosen) as found:
        McMoe().rewrite(model, model.only, {"input_ids": torch.zeros(1, 4).long()}, tmp_path, Silent())
    assert found.value.args == (torch.device(expected),)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
@pytest.mark.parametrize("changes", [{}, {"method": "rtn"}, {"odp": True}])
def test_cuda_packs_what_the_cpu_does(directory, tmp_path, changes):
    """Statistics to within rounding; and a model that predicts alike."""
    options, inputs = McMoe(bits=2.0, group_size=64, **changes), {"input_ids": torch.arange(96).reshape(4, 24) * 7 % 64}
    made = {}
    for device in ("cpu", "cuda"):
        manifest = compress(directory, tmp_path / device, inputs, options, device=device)
        (seen,) = manifest["statistics"].values()
        made[device] = torch.tensor(seen["loss"]), perplexity(load_packed(tmp_path / device), inputs["input_ids"]).value
    torch.testing.assert_close(made["cuda"][0], made["cpu"][0], rtol=1e-2, atol=1e-3)
    assert made["cuda"][1] == pytest.approx(made["cpu"][1], rel=0.05)
