"""Mixtures of experts in the form that captures: what transformers computes, for every layout it keeps experts in."""

from __future__ import annotations

import pytest
import torch

from edgetok.graph.capture import capture
from edgetok.sources.experts import experts_forward, implementation
from edgetok.sources.load import load_model

transformers = pytest.importorskip("transformers")

SIZES = {
    "vocab_size": 32,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "num_experts_per_tok": 2,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
LAYOUTS = {
    "Mixtral": {"num_local_experts": 4},
    "Olmoe": {"num_experts": 4},
    "GptOss": {"num_local_experts": 4, "head_dim": 8},
    "Qwen2Moe": {"num_experts": 4, "moe_intermediate_size": 12, "shared_expert_intermediate_size": 20},
}
"""Gate and up in one; without renormalisation; transposed and interleaved with biases; a shared expert."""


def make(family, **changes):
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**SIZES | LAYOUTS[family] | changes)
    model = getattr(transformers, f"{family}ForCausalLM")._from_config(config, experts_implementation="eager")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model.eval()


@pytest.mark.parametrize("family", LAYOUTS)
def test_it_computes_what_eager_does(family):
    model = make(family)
    ids = torch.randint(0, 32, (2, 11), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = model(input_ids=ids).logits
        model.set_experts_implementation(implementation())
        found = model(input_ids=ids).logits
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_few_tokens_read_only_their_experts(monkeypatch):
    """One token and two of four experts: two matrices are copied, not four multiplied."""
    import transformers.integrations.moe as moe

    called = []
    plain = moe.batched_mm_experts_forward
    monkeypatch.setattr(moe, "batched_mm_experts_forward", lambda *given: called.append(1) or plain(*given))
    experts = make("Mixtral").model.layers[0].mlp.experts
    chosen, weights = torch.tensor([[3, 1]]), torch.tensor([[0.75, 0.25]])
    with torch.no_grad():
        few = experts_forward(experts, torch.ones(1, 16), chosen, weights)
        assert called
        called.clear()
        many = experts_forward(experts, torch.ones(2, 16), chosen.expand(2, 2), weights.expand(2, 2))
        assert not called
    torch.testing.assert_close(many, few.expand(2, 16), rtol=1e-5, atol=1e-5)


def test_an_index_beyond_the_experts_counts_for_nothing():
    experts = make("Mixtral").model.layers[0].mlp.experts
    x, weights = torch.randn(3, 16, generator=torch.Generator().manual_seed(1)), torch.tensor([[0.5, 0.5]] * 3)
    with torch.no_grad():
        one = experts_forward(experts, x, torch.tensor([[2, 4]] * 3), weights)
        none = experts_forward(experts, x, torch.tensor([[2, 0]] * 3), weights * torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(one, none)


def test_a_directory_captures_with_token_ids_alone(tmp_path):
    model = make("Mixtral", max_position_embeddings=16)
    model.save_pretrained(tmp_path)
    component = load_model(str(tmp_path)).only
    assert {name: tuple(value.shape) for name, value in component.inputs.items()} == {"input_ids": (2, 15)}
    program = capture(component)
    assert program.notes == ()
    assert [(spec.name, spec.shape) for spec in program.outputs] == [("logits", ("batch", 15, 32))]
    assert component.weights is not None
    weights = component.weights()
    filled = program.with_state({name: weights[name] for name in program.exported.state_dict})
    with torch.no_grad():
        found = filled.exported.module()(**component.inputs)
        expected = model(input_ids=component.inputs["input_ids"]).logits
    torch.testing.assert_close(found["logits"], expected, rtol=1e-5, atol=1e-5)
