"""Text as evaluation data: what fits a language model is found before long work, and ends up in the report."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from edgetok.errors import DatasetNotFound, UnsupportedModel
from edgetok.graph.program import TensorSpec
from edgetok.recipe_file import make_recipe
from edgetok.session import optimize
from edgetok.session.evidence import find_data


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.npy"
    np.save(path, np.random.default_rng(0).integers(0, 32, (6, 15), dtype=np.uint16))
    return str(path)


def prepared(shape, length=15):
    """A model by what it takes and gives; nothing of it is run."""
    program = SimpleNamespace(
        inputs=(TensorSpec("input_ids", ("batch", length), "int64"),),
        outputs=(TensorSpec("logits", shape, "float32"),),
    )
    tools = SimpleNamespace(options=SimpleNamespace())
    model = SimpleNamespace(preprocessing=None, labels=())
    return SimpleNamespace(program=program, model=model, tools=tools)


def find(text, shape, length=15):
    return find_data(prepared(shape, length), make_recipe({"model": "m", "eval": {"data": text}}), None)


def test_a_vocabulary_that_is_too_small_is_refused_at_once(text):
    assert len(find(text, ("batch", 15, 32))) == 6
    with pytest.raises(DatasetNotFound, match="not the model's"):
        find(text, ("batch", 15, 31))


def test_windows_of_another_length_do_not_fit(text):
    with pytest.raises(DatasetNotFound, match="shape"):
        next(iter(find(text, ("batch", 15, 32), length=16).batches(2)))


def test_text_is_for_language_models(text):
    with pytest.raises(UnsupportedModel, match="next token"):
        find(text, ("batch", 32))


def test_a_bundle_of_a_language_model_reports_perplexity(text, tmp_path):
    pytest.importorskip("onnxruntime")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=16,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path / "llama")
    recipe = make_recipe(
        {
            "model": str(tmp_path / "llama"),
            "target": "onnx-cpu",
            "eval": {"data": text, "batch": 4},
            "bench": {"enabled": False},
            "output": str(tmp_path / "out"),
        }
    )
    report = optimize(recipe).report
    text_part = report.accuracy.perplexity
    assert (text_part.tokens, text_part.windows, report.accuracy.n) == (6 * 14, 6, 6)
    assert 20 < text_part.dense < 50  # of 32 words, guessed at random
    assert text_part.ratio == pytest.approx(1.0, abs=1e-5)
    assert "erplexity" in report.model_dump_json()
