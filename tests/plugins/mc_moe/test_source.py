"""Directories that compression wrote, as models to start from."""

from __future__ import annotations

import json
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

import edgetok
from edgetok.errors import BrokenWeights, NothingToRewrite, UnsupportedModel
from edgetok.sources import load_model
from edgetok_exporters.onnx import OnnxExporter
from edgetok_plugins.mc_moe import McMoe
from edgetok_plugins.mc_moe.compress import compress
from edgetok_plugins.mc_moe.runtime import load_packed
from edgetok_plugins.mc_moe.shards import Shards

IDS = torch.arange(48).reshape(4, 12) * 7 % 64
OPTIONS = McMoe(bits=2.0, group_size=8, method="rtn", odp=True)


@pytest.fixture(scope="module")
def compressed(build, saved, tmp_path_factory):
    """With biases beside packed matrices, eager attention and tied embeddings."""
    sizes = {"num_hidden_layers": 1, "max_position_embeddings": 12}
    model = build("GptOss", "ForCausalLM", tie_word_embeddings=True, **sizes)
    output = tmp_path_factory.mktemp("out") / "small"
    compress(saved(model), output, {"input_ids": IDS}, OPTIONS)
    return output


def test_it_is_optimised_as_other_models_are(compressed, tmp_path):
    result = edgetok.optimize(str(compressed), plugins={}, output=tmp_path / "out", bench={"enabled": False})
    assert result.report.parity.passed
    assert result.report.model.name == "small"
    assert any("packed experts" in note for note in result.report.notes)
    ids = IDS[:, : result.report.delivered.inputs[0].shape[1]]
    entry = tmp_path / "out" / result.report.delivered.entry
    found = OnnxExporter().load(entry, threads=1)({"input_ids": ids.numpy()})["logits"]
    with torch.no_grad():
        expected = load_packed(compressed)(input_ids=ids).logits
    torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-4, rtol=1e-4)


def test_it_can_be_named_by_its_source(compressed):
    model = load_model(f"edgetok-mc-moe:{compressed}")
    assert set(model.only.weights()) >= set(model.only.module.state_dict())
    assert model.directory is None


def test_it_is_not_compressed_again_and_a_plan_reads_no_weights(compressed, monkeypatch):
    """A plan reads widths, layouts and thresholds: a directory may be larger than memory."""
    read, whole = [], Shards.read
    monkeypatch.setattr(Shards, "read", lambda shards, name, *rest: read.append(name) or whole(shards, name, *rest))
    with pytest.raises(NothingToRewrite, match="mc-moe"):
        edgetok.optimize(str(compressed), plugins={"mc-moe": {}}, dry_run=True)
    assert {name.rpartition(".")[2] for name in read} == {"bits", "layout", "odp"}


def test_what_others_quantised_is_refused_by_name(compressed, tmp_path):
    for file in compressed.iterdir():
        text = file.read_bytes()
        (tmp_path / file.name).write_bytes(text.replace(b"edgetok-mc-moe", b"another-method"))
    with pytest.raises(UnsupportedModel, match="another-method"):
        load_model(str(tmp_path))


LAYER, REST, INDEX = "layer-00000.safetensors", "rest.safetensors", "model.safetensors.index.json"
LINEAR, BITS = "model.layers.0.self_attn.q_proj", "model.layers.0.mlp.experts.bits"


def with_tensors(file, change):
    """Writes a file again with other tensors in it."""

    def spoil(directory):
        tensors = load_file(directory / file)
        tensors |= {name: value.clone() for name, value in change(tensors).items()}
        save_file(tensors, directory / file)

    return spoil


def packed_at(path):
    """A packed matrix in the place of what is none."""

    def spoil(directory):
        packed = load_file(directory / LAYER)
        made = {f"{path}.{part}": packed[f"{LINEAR}.weight.{part}"] for part in ("codes", "scale", "zero", "layout")}
        with_tensors(REST, lambda _: made)(directory)

    return spoil


def stacked_linear(tensors):
    return {f"{LINEAR}.weight.{part}": tensors[f"{LINEAR}.weight.{part}"][None] for part in ("codes", "scale", "zero")}


def huge_header(directory):
    header = json.dumps({"z": {"dtype": "U8", "shape": [10**30, 0], "data_offsets": [0, 0]}}).encode()
    (directory / "huge.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    index = json.loads((directory / INDEX).read_text())
    index["weight_map"]["z"] = "huge.safetensors"
    (directory / INDEX).write_text(json.dumps(index))


def linked(directory):
    (directory / LAYER).rename(directory.parent / "outside.safetensors")
    (directory / LAYER).symlink_to(directory.parent / "outside.safetensors")


HOSTILE = {
    "scalar bits": with_tensors(LAYER, lambda tensors: {BITS: torch.tensor(2)}),
    "bits of two axes": with_tensors(LAYER, lambda tensors: {BITS: tensors[BITS][None]}),
    "bits that are no numbers": with_tensors(LAYER, lambda tensors: {BITS: tensors[BITS] * torch.nan}),
    "stacked linear": with_tensors(LAYER, stacked_linear),
    "packed embedding": packed_at("model.embed_tokens.weight"),
    "packed norm": packed_at("model.norm.weight"),
    "packed head, tied": packed_at("lm_head.weight"),
    "flat norm": with_tensors(REST, lambda tensors: {"model.norm.weight": torch.tensor(1.0)}),
    "short embedding": with_tensors(
        REST, lambda tensors: {"model.embed_tokens.weight": tensors["model.embed_tokens.weight"][:9]}
    ),
    "huge shape": huge_header,
    "directory in place of weights": lambda directory: (directory / "model.safetensors").mkdir(),
    "link to outside": linked,
}


def copy_of(compressed, directory):
    directory.mkdir()
    for file in compressed.iterdir():
        (directory / file.name).write_bytes(file.read_bytes())
    return directory


@pytest.mark.parametrize("spoil", HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_are_broken_weights(compressed, tmp_path, spoil):
    directory = copy_of(compressed, tmp_path / "hostile")
    spoil(directory)
    with pytest.raises(BrokenWeights) as refused:
        load_model(str(directory)).only.weights()
    assert len(refused.value.why) < 300
    with pytest.raises(BrokenWeights):
        load_packed(directory)


def without(name):
    """Takes a tensor out of whichever file has it."""

    def spoil(directory):
        for file in (LAYER, REST):
            kept = {each: value.clone() for each, value in load_file(directory / file).items() if each != name}
            save_file(kept, directory / file)
        index = json.loads((directory / INDEX).read_text())
        index["weight_map"].pop(name)
        (directory / INDEX).write_text(json.dumps(index))

    return spoil


PLANNED = {
    "no bits": (without(BITS), BITS),
    "no norm": (without("model.norm.weight"), "model.norm.weight"),
    "no bias": (without(f"{LINEAR}.bias"), f"{LINEAR}.bias"),
    "short embedding": (HOSTILE["short embedding"], "embed_tokens"),
}


@pytest.mark.parametrize(("spoil", "says"), PLANNED.values(), ids=PLANNED)
def test_a_plan_refuses_what_is_incomplete(compressed, tmp_path, spoil, says):
    directory = copy_of(compressed, tmp_path / "incomplete")
    spoil(directory)
    with pytest.raises(BrokenWeights, match="ET104") as refused:
        edgetok.optimize(str(directory), plugins={}, dry_run=True)
    assert says in str(refused.value)


def test_other_formats_are_refused(compressed, tmp_path):
    directory = copy_of(compressed, tmp_path / "newer")
    config = json.loads((directory / "config.json").read_text())
    config["quantization_config"]["format"] = 2
    (directory / "config.json").write_text(json.dumps(config))
    for load in (load_packed, lambda path: load_model(str(path))):
        with pytest.raises(UnsupportedModel, match="format 2 of edgetok-mc-moe"):
            load(directory)


def test_a_model_that_cannot_be_built_is_refused(compressed, tmp_path):
    directory = copy_of(compressed, tmp_path / "huge")
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"vocab_size": -1}))
    for load in (load_packed, lambda path: load_model(str(path))):
        with pytest.raises(UnsupportedModel, match="cannot be built"):
            load(directory)


def test_the_index_says_which_files_there_are(compressed, tmp_path):
    """Renamed shards are found, and what lies beside them is not read."""
    directory = copy_of(compressed, tmp_path / "renamed")
    (directory / LAYER).rename(directory / "part.safetensors")
    (directory / INDEX).write_text((directory / INDEX).read_text().replace(LAYER, "part.safetensors"))
    (directory / "layer-99999.safetensors").mkdir()
    component, before = load_model(str(directory)).only, load_model(str(compressed)).only
    assert {name for name, _ in component.module.named_buffers()} == {name for name, _ in before.module.named_buffers()}
    assert component.weights().keys() == before.weights().keys()
