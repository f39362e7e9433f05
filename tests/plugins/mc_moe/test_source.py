"""Directories that compression wrote, as models to start from."""

from __future__ import annotations

import pytest
import torch

import edgetok
from edgetok.errors import NothingToRewrite, UnsupportedModel
from edgetok.sources import load_model
from edgetok_exporters.onnx import OnnxExporter
from edgetok_plugins.mc_moe import McMoe
from edgetok_plugins.mc_moe.compress import compress
from edgetok_plugins.mc_moe.runtime import load_packed

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


def test_it_is_not_compressed_again(compressed):
    with pytest.raises(NothingToRewrite, match="mc-moe"):
        edgetok.optimize(str(compressed), plugins={"mc-moe": {}}, dry_run=True)


def test_what_others_quantised_is_refused_by_name(compressed, tmp_path):
    for file in compressed.iterdir():
        text = file.read_bytes()
        (tmp_path / file.name).write_bytes(text.replace(b"edgetok-mc-moe", b"another-method"))
    with pytest.raises(UnsupportedModel, match="another-method"):
        load_model(str(tmp_path))
