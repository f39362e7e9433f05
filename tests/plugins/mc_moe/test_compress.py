import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from edgetok.errors import BadSchedule, OutputExists, UnsupportedModel
from edgetok_plugins.mc_moe import McMoe
from edgetok_plugins.mc_moe.calibrate import Observer
from edgetok_plugins.mc_moe.compress import allocate, compress
from edgetok_plugins.mc_moe.packing import packed_bytes
from edgetok_plugins.mc_moe.quantise import quantise_layer
from edgetok_plugins.mc_moe.shards import Shards
from edgetok_plugins.mc_moe.stream import build as build_empty

INPUTS = {"input_ids": torch.arange(60).reshape(3, 20) * 7 % 64}
OPTIONS = McMoe(bits=2.0, group_size=8)


def contents(directory):
    return {file.name: file.read_bytes() for file in sorted(directory.iterdir())}


@pytest.fixture(scope="module")
def olmoe(build, saved):
    return saved(build("Olmoe", "ForCausalLM", num_hidden_layers=3))


@pytest.fixture(scope="module")
def compressed(olmoe, tmp_path_factory):
    output = tmp_path_factory.mktemp("out") / "packed"
    return output, compress(olmoe, output, INPUTS, OPTIONS)


def test_budgets_are_met_in_every_layer(compressed):
    _, manifest = compressed
    assert len(manifest["bits"]) == 3
    for widths in manifest["bits"].values():
        assert sum(widths) <= 8
        assert {2, 3} <= set(widths)


def test_the_files_have_the_bytes_that_the_widths_say(compressed):
    output, manifest = compressed
    linears = 3 * 4 * packed_bytes((16, 16), 4, 8, zero=True)
    layouts = 12 * (3 * 4 + sum(2 * len(set(widths)) for widths in manifest["bits"].values()))
    experts = sum(
        packed_bytes((48, 16), width, 8, zero=width > 1) + packed_bytes((16, 24), width, 8, zero=width > 1) + 1
        for widths in manifest["bits"].values()
        for width in widths
    )
    assert manifest["bytes"]["packed"] == linears + layouts + experts
    headers = [int.from_bytes(file.read_bytes()[:8], "little") + 8 for file in output.glob("*.safetensors")]
    sizes = sum(file.stat().st_size for file in output.glob("*.safetensors"))
    assert sizes - sum(headers) == manifest["bytes"]["packed"] + manifest["bytes"]["rest"]


def test_router_norms_and_embeddings_are_what_they_were(olmoe, compressed):
    before, after = Shards(olmoe), load_file(compressed[0] / "rest.safetensors")
    assert {name.split(".", 3)[-1] for name in after if ".0." in name} == {
        *("mlp.gate.weight", "self_attn.q_norm.weight", "self_attn.k_norm.weight"),
        *("input_layernorm.weight", "post_attention_layernorm.weight"),
    }
    assert {"model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"} <= set(after)
    for name, value in after.items():
        assert torch.equal(value, before.read(name))


def test_the_result_is_no_model_to_start_from(compressed):
    with pytest.raises(UnsupportedModel, match="edgetok-mc-moe"):
        build_empty(compressed[0])


def test_the_model_is_left_alone(olmoe, tmp_path):
    before = contents(olmoe)
    compress(olmoe, tmp_path / "again", INPUTS, OPTIONS)
    assert contents(olmoe) == before


def test_statistics_by_their_definition(build, saved, tmp_path):
    """Frequency, weight, norm and loss of the first block, against the whole model with one expert rounded."""
    from edgetok_plugins.mc_moe.experts.find import find_blocks
    from edgetok_plugins.mc_moe.grid import round_to_nearest
    from edgetok_plugins.mc_moe.packing import dequantise

    model = build("Olmoe", "ForCausalLM", num_hidden_layers=1)
    seen = compress(saved(model), tmp_path / "out", INPUTS, OPTIONS)["statistics"]["model.layers.0.mlp.experts"]
    block, calls = find_blocks(model)[0], []
    block.experts.register_forward_hook(lambda _m, args, out: calls.append((args, out)))
    with torch.no_grad():
        model(**INPUTS)
        (_, index, weights), exact = calls[0]
        chosen = torch.nn.functional.one_hot(index, 4).float()
        torch.testing.assert_close(torch.tensor(seen["frequency"]), chosen.sum((0, 1)) / 60)
        torch.testing.assert_close(torch.tensor(seen["weight"]), (chosen * weights[..., None]).sum((0, 1)) / 60)
        torch.testing.assert_close(seen["norm"], float(exact.norm()))
        ratios = weights.sort(1).values
        torch.testing.assert_close(seen["ratio"], float((ratios[:, 0] / ratios[:, 1]).median()))
        for expert in range(4):
            for place, bits in enumerate((1, 2, 3)):
                kept = [getattr(block.experts, name)[expert].clone() for name in ("gate_up_proj", "down_proj")]
                for name, value in zip(("gate_up_proj", "down_proj"), kept, strict=True):
                    rounded = dequantise(round_to_nearest(value, bits=bits, group=8))
                    getattr(block.experts, name)[expert] = rounded
                model(**INPUTS)
                for name, value in zip(("gate_up_proj", "down_proj"), kept, strict=True):
                    getattr(block.experts, name)[expert] = value
                change = float((calls[-1][1] - exact).norm())
                torch.testing.assert_close(seen["loss"][expert][place], change, rtol=1e-4, atol=1e-5)


def check_compressed(directory, output, options):
    manifest = compress(directory, output, INPUTS, options)
    total = sum(map(sum, manifest["bits"].values()))
    assert total <= 2 * sum(map(len, manifest["bits"].values()))
    assert not list(output.parent.glob(".*"))


def test_every_family_is_compressed(decoder, build, saved, tmp_path):
    check_compressed(saved(build(decoder, "ForCausalLM")), tmp_path / "out", OPTIONS)


@pytest.mark.parametrize(
    "changes", [{"scope": "global"}, {"method": "rtn"}, {"attention_bits": 16}, {"act_order": True}, {"odp": True}]
)
def test_with_every_option(olmoe, tmp_path, changes):
    check_compressed(olmoe, tmp_path / "out", OPTIONS.model_copy(update=changes))


def test_an_allocation_of_ones_own_needs_no_statistics(olmoe, tmp_path):
    given = {index: [4, 1, 8, 2] for index in range(3)}
    manifest = compress(olmoe, tmp_path / "out", INPUTS, OPTIONS, allocation=given)
    assert list(manifest["bits"].values()) == list(given.values())
    assert manifest["statistics"] == {}


def test_a_budget_that_cannot_be_met_says_so_and_leaves_no_output(olmoe, tmp_path):
    options = OPTIONS.model_copy(update={"min_count": ((3, 4),)})
    with pytest.raises(BadSchedule, match="budget is 8"):
        compress(olmoe, tmp_path / "out", INPUTS, options)
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_there_and_a_job_of_other_options_are_refused(olmoe, compressed, tmp_path):
    with pytest.raises(OutputExists):
        compress(olmoe, compressed[0], INPUTS, OPTIONS)
    with pytest.raises(BadSchedule):
        compress(olmoe, tmp_path / "out", INPUTS, OPTIONS.model_copy(update={"min_count": ((3, 4),)}))
    with pytest.raises(OutputExists, match="unfinished job"):
        compress(olmoe, tmp_path / "out", INPUTS, OPTIONS)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("after", range(1, 6))
def test_a_job_that_stopped_goes_on_to_the_same_bytes(olmoe, compressed, tmp_path, after):
    """Stopped after each step of three layers twice, between the work of a layer and its being noted."""

    class Stops:
        steps = 0

        def stage(self, name, total=None):
            from contextlib import nullcontext

            return nullcontext()

        def advance(self, steps=1):
            self.steps += steps
            if self.steps == after:
                raise Killed

        def log(self, message):
            pass

    with pytest.raises(Killed):
        compress(olmoe, tmp_path / "packed", INPUTS, OPTIONS, progress=Stops())
    assert not (tmp_path / "packed").exists()
    compress(olmoe, tmp_path / "packed", INPUTS, OPTIONS)
    assert contents(tmp_path / "packed") == contents(compressed[0])


KILLED = """
import sys, torch
from pathlib import Path
torch.set_num_threads(1)
from edgetok_plugins.mc_moe import McMoe
from edgetok_plugins.mc_moe.compress import compress
ids = torch.arange(60).reshape(3, 20) * 7 % 64
compress(Path(sys.argv[1]), Path(sys.argv[2]), {"input_ids": ids}, McMoe(bits=2.0, group_size=8))
"""
PHASES = ("calibrate", "quantise")


def positions(job):
    """How many layers of each phase a job has done."""
    files = [job / f"{phase}.safetensors" for phase in PHASES]
    return [int(load_file(file)["layer"]) if file.exists() else 0 for file in files]


@pytest.fixture(scope="module")
def slower(build, saved):
    """Four layers of which each takes a tenth of a second and more, so that a process can be met at its work."""
    sizes = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 4}
    return saved(build("Olmoe", "ForCausalLM", **sizes), shard="1MB")


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("seed", [5, *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in range(3))])
def test_a_killed_process_goes_on_to_the_same_bytes(slower, one_thread, tmp_path, monkeypatch, seed):
    """Killed at random: a while after a step of the eight, in either phase; what was done is not done again."""
    chance = random.Random(seed)
    step, wait = chance.randrange(1, 6), chance.uniform(0, 0.1)
    output, job = tmp_path / "packed", tmp_path / ".packed.mc-moe"
    process = subprocess.Popen([sys.executable, "-c", KILLED, slower, output])
    until = time.monotonic() + 120
    while sum(positions(job)) < step and process.poll() is None and time.monotonic() < until:
        time.sleep(0.001)
    time.sleep(wait)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    done, computed = positions(job), {phase: [] for phase in PHASES}
    assert sum(done) >= step
    assert not output.exists()

    def observed(name, *rest):
        computed["calibrate"].append(int(name.split(".")[2]))
        return Observer(name, *rest)

    def quantised(source, index, *rest):
        computed["quantise"].append(index)
        return quantise_layer(source, index, *rest)

    with monkeypatch.context() as patch:
        patch.setattr("edgetok_plugins.mc_moe.compress.Observer", observed)
        patch.setattr("edgetok_plugins.mc_moe.compress.quantise_layer", quantised)
        compress(slower, output, INPUTS, OPTIONS)
    assert list(computed.values()) == [list(range(first, 4)) for first in done]
    compress(slower, tmp_path / "whole", INPUTS, OPTIONS)
    assert contents(output) == contents(tmp_path / "whole")
    assert not job.exists()


def test_global_scope_moves_bits_between_layers():
    from edgetok_plugins.mc_moe.calibrate import Statistics

    even = (0.5,) * 4
    small, large = (((f, f / 2, f / 4),) * 4 for f in (1.0, 8.0))
    seen = {index: Statistics(str(index), 10, even, even, loss, 10.0, None) for index, loss in ((0, small), (1, large))}
    options = McMoe(bits=2, scope="global", min_count=())
    widths = allocate(seen, options)
    assert sum(widths[1]) > sum(widths[0])
    assert sum(widths[0] + widths[1]) <= 16
    assert [sum(w) for w in allocate(seen, McMoe(bits=2, min_count=())).values()] == [8, 8]


def test_the_manifest_is_what_was_returned(compressed):
    output, manifest = compressed
    assert json.loads((Path(output) / "mc_moe.json").read_text()) == json.loads(json.dumps(manifest))


def test_what_is_left_of_a_layers_budget_goes_to_the_next():
    from edgetok_plugins.mc_moe.calibrate import Statistics

    even = (0.25,) * 8
    loss = ((4.0, 2.0, 1.0),) * 8
    seen = {index: Statistics(str(index), 10, even, even, loss, 1.0, None) for index in range(5)}
    widths = allocate(seen, McMoe(bits=1.6))
    assert [sum(of) for of in widths.values()] == [12, 13, 13, 13, 13]
