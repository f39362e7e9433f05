import pytest
import torch

from edgetok_plugins.mc_moe import McMoe
from edgetok_plugins.mc_moe.compress import compress
from edgetok_plugins.mc_moe.packing import dequantise
from edgetok_plugins.mc_moe.quantise import PackedLayer, method
from edgetok_plugins.mc_moe.runtime import load_packed
from edgetok_plugins.mc_moe.shards import Shards

INPUTS = {"input_ids": torch.randint(0, 64, (16, 24), generator=torch.Generator().manual_seed(0))}


@pytest.fixture(scope="module")
def model(build):
    return build("Mixtral", "ForCausalLM", num_hidden_layers=1)


@pytest.fixture(scope="module")
def errors(model, saved, tmp_path_factory):
    """How far the packed model's logits are off on the calibration tokens, by method."""
    directory, found = saved(model), {}
    with torch.no_grad():
        expected = model(**INPUTS).logits
        for name in ("gptq", "rtn"):
            output = tmp_path_factory.mktemp(name) / "out"
            compress(directory, output, INPUTS, McMoe(bits=2.5, group_size=16, method=name, attention_bits=3))
            found[name] = float((load_packed(output)(**INPUTS).logits - expected).square().mean())
    return found


def test_errors_made_up_for_are_errors_saved(errors):
    assert errors["gptq"] < 0.95 * errors["rtn"]


def test_attention_left_alone_is_as_it_was(model, saved, tmp_path):
    compress(saved(model), tmp_path / "out", INPUTS, McMoe(bits=2.5, group_size=16, method="rtn", attention_bits=16))
    kept = Shards(tmp_path / "out")
    for name in ("q_proj", "o_proj"):
        path = f"model.layers.0.self_attn.{name}.weight"
        assert torch.equal(kept.read(path), model.get_parameter(path))


@pytest.mark.parametrize("options", [{"method": "rtn"}, {"method": "gptq"}, {"method": "gptq", "act_order": True}])
def test_every_method_gives_a_packed_weight_of_the_asked_width(options):
    torch.manual_seed(0)
    weight, inputs = torch.randn(6, 40), torch.randn(50, 40)
    packed = method(McMoe(group_size=16, **options))(weight, inputs, 3)
    assert (packed.bits, packed.shape, packed.group) == (3, (6, 40), 16)
    assert (dequantise(packed) - weight).abs().max() < 1


def test_names_are_those_of_the_document():
    torch.manual_seed(0)
    packed = method(McMoe(method="rtn", group_size=8))(torch.randn(4, 8), torch.randn(1, 8), 2)
    layer = PackedLayer({"a.q": packed}, {"a.experts": {"up": {2: packed}}}, {"a.experts": (2,)})
    parts = ("codes", "scale", "zero", "layout")
    assert set(layer.tensors()) == {
        *(f"a.q.weight.{part}" for part in parts),
        *(f"a.experts.up.w2.{part}" for part in parts),
        "a.experts.bits",
    }
