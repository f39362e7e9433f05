import json
from contextlib import ExitStack
from functools import partial

import pytest
import torch
from safetensors.torch import load_file, save_file

from edgetok.errors import BrokenWeights, UnsupportedModel
from edgetok_plugins.mc_moe.experts.form import expert_output
from edgetok_plugins.mc_moe.stream import experts_replaced, open_model, run

IDS = torch.arange(40).reshape(2, 20) % 64
SAME = 1e-6
"""Absolute, on hidden states of about one: the same sums in float32."""


def expected(model):
    found = []
    hooks = [layer.register_forward_hook(lambda _m, _a, out: found.append(out)) for layer in model.model.layers]
    with torch.no_grad():
        model(input_ids=IDS, use_cache=False)
    for hook in hooks:
        hook.remove()
    return found


def streamed(source, **arguments):
    """Hidden states after each layer, with experts read one at a time."""
    found = []

    def visit(index, compute):
        with ExitStack() as stack:
            if index in source.blocks:
                stack.enter_context(experts_replaced(source.blocks[index], partial(one_by_one, source, index)))
            found.append(compute())
        return found[-1]

    run(source, {"input_ids": IDS}, visit, **arguments)
    return found


def one_by_one(source, index, routing):
    form, stored = source.blocks[index].form, source.stored(index)
    out = torch.zeros_like(routing.tokens)
    for expert in range(form.count):
        rows, weights = routing.of(expert)
        made = expert_output(form, expert, routing.tokens[rows], stored.read(expert, "up"), stored.read(expert, "down"))
        out.index_add_(0, rows, made * weights[:, None])
    return out


def test_layers_one_by_one_compute_what_the_model_computes(decoder, build, saved):
    model = build(decoder, "ForCausalLM")
    source = open_model(saved(model))
    for found, wanted in zip(streamed(source), expected(model), strict=True):
        torch.testing.assert_close(found, wanted, atol=SAME, rtol=SAME)
    assert all(
        type(parameter).__name__ == "FakeTensor" or parameter.fake_mode for parameter in source.model.parameters()
    )


def test_it_goes_on_from_any_layer(build, saved):
    model = build("Mixtral", "ForCausalLM", num_hidden_layers=3)
    source = open_model(saved(model))
    whole = streamed(source)
    rest = streamed(source, start=2, hidden=whole[1])
    assert len(rest) == 1
    assert torch.equal(rest[0], whole[2])


def test_experts_saved_fused_are_read_too(build, saved):
    model = build("Olmoe", "ForCausalLM")
    directory = saved(model, "1GB")
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, directory / "model.safetensors")
    assert any(name.endswith("experts.gate_up_proj") for name in load_file(directory / "model.safetensors"))
    for found, wanted in zip(streamed(open_model(directory)), expected(model), strict=True):
        torch.testing.assert_close(found, wanted, atol=SAME, rtol=SAME)


def test_a_missing_expert_is_named(build, saved):
    directory = saved(build("Olmoe", "ForCausalLM"), "1GB")
    tensors = {
        name: value for name, value in load_file(directory / "model.safetensors").items() if "experts" not in name
    }
    save_file(tensors, directory / "model.safetensors")
    with pytest.raises(BrokenWeights, match=r"no experts model\.layers\.0\.mlp\.experts"):
        open_model(directory).stored(0)


def test_weights_of_another_shape_are_named(build, saved):
    directory = saved(build("Olmoe", "ForCausalLM"), "1GB")
    tensors = load_file(directory / "model.safetensors")
    tensors["model.layers.0.self_attn.q_proj.weight"] = torch.zeros(3, 3)
    save_file(tensors, directory / "model.safetensors")
    with pytest.raises(BrokenWeights, match="q_proj"):
        streamed(open_model(directory))


def test_what_cannot_be_compressed_layer_by_layer_is_refused(build, saved):
    with pytest.raises(UnsupportedModel, match="SwitchTransformers"):
        open_model(saved(build("SwitchTransformers", "ForConditionalGeneration")))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"quantization_config": {"quant_method": "awq"}}, "quantised .awq."),
        ({"architectures": ["Nonsense"]}, "Nonsense"),
    ],
)
def test_configs_that_do_not_fit_are_refused(build, saved, change, reason):
    directory = saved(build("Olmoe", "ForCausalLM"))
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(UnsupportedModel, match=reason):
        open_model(directory)
