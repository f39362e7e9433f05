import pytest
import torch
from safetensors.torch import load_file, save_file

from edgetok.errors import BrokenWeights, UnsupportedModel
from edgetok_plugins.mc_moe import McMoe, runtime
from edgetok_plugins.mc_moe.compress import compress
from edgetok_plugins.mc_moe.experts.find import find_blocks
from edgetok_plugins.mc_moe.experts.form import MATRICES
from edgetok_plugins.mc_moe.grid import round_to_nearest
from edgetok_plugins.mc_moe.packing import dequantise

INPUTS = {"input_ids": torch.arange(60).reshape(3, 20) * 7 % 64}
OPTIONS = McMoe(bits=2.0, group_size=8)
SAME = 2e-5
"""Absolute and relative, on logits of several units: the same sums in float32, in another order."""


@pytest.fixture(scope="module")
def packed(build, saved, tmp_path_factory):
    output = tmp_path_factory.mktemp("out") / "packed"
    compress(saved(build("Olmoe", "ForCausalLM")), output, INPUTS, OPTIONS)
    return output


def test_packed_models_compute_what_dequantised_ones_do(decoder, build, saved, tmp_path):
    """The model's own code, with the weights that the packed ones stand for, gives the same logits."""
    model = build(decoder, "ForCausalLM")
    compress(saved(model), tmp_path / "out", INPUTS, OPTIONS)
    loaded = runtime.load_packed(tmp_path / "out")
    with torch.no_grad():
        before = model(**INPUTS).logits
        for block in find_blocks(model):
            experts = loaded.get_submodule(block.name)
            for expert in range(block.form.count):
                for name in MATRICES:
                    block.form.matrix(expert, name).copy_(dequantise(experts.matrix(expert, name)))
        for path, module in loaded.named_modules():
            if isinstance(module, runtime.PackedLinear):
                model.get_submodule(path).weight.copy_(dequantise(module.packed("weight")))
        expected, found = model(**INPUTS).logits, loaded(**INPUTS).logits
    torch.testing.assert_close(found, expected, atol=SAME, rtol=SAME)
    assert (found - before).abs().mean() > 100 * SAME


def test_unpacking_never_takes_more_than_the_workspace(monkeypatch):
    torch.manual_seed(0)
    weight = round_to_nearest(torch.randn(500, 64), bits=3, group=32)
    taken = []

    def measured(part, dtype):
        taken.append(part.shape[0] * part.shape[1] * runtime._PER_WEIGHT)
        return dequantise(part, dtype)

    monkeypatch.setattr(runtime, "WORKSPACE", 1 << 16)
    monkeypatch.setattr(runtime, "dequantise", measured)
    inputs = torch.randn(7, 64)
    found = runtime.packed_linear(inputs, weight, torch.ones(500))
    assert max(taken) <= 1 << 16
    assert len(taken) == 8
    torch.testing.assert_close(found, inputs @ dequantise(weight).T + 1, atol=1e-5, rtol=1e-5)


def test_weights_stay_packed_in_memory(packed):
    model = runtime.load_packed(packed)
    inside = [(name, tensor) for name, tensor in model.named_buffers() if ".experts." in name]
    held = sum(tensor.nbytes for _, tensor in inside)
    assert held == sum(
        value.nbytes
        for file in packed.glob("layer-*.safetensors")
        for name, value in load_file(file).items()
        if ".experts." in name and not name.endswith((".layout", ".bits"))
    )
    assert not [name for name, _ in model.named_parameters() if ".experts." in name]


def test_only_chosen_experts_are_unpacked(packed, monkeypatch):
    experts = runtime.load_packed(packed).get_submodule("model.layers.0.mlp.experts")
    asked = []
    real = type(experts).matrix
    monkeypatch.setattr(type(experts), "matrix", lambda self, e, n: asked.append(e) or real(self, e, n))
    experts(torch.ones(2, 16), torch.tensor([[3, 1], [1, 4]]), torch.ones(2, 2))
    assert set(asked) == {1, 3}


def test_tied_embeddings_stay_tied(build, saved, tmp_path):
    compress(saved(build("Olmoe", "ForCausalLM", tie_word_embeddings=True)), tmp_path / "out", INPUTS, OPTIONS)
    model = runtime.load_packed(tmp_path / "out")
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert model(**INPUTS).logits.isfinite().all()


def test_other_models_are_refused(build, saved):
    with pytest.raises(UnsupportedModel, match="not quantised"):
        runtime.load_packed(saved(build("Olmoe", "ForCausalLM")))


@pytest.mark.parametrize("change", ["bits", "codes", "missing"])
def test_files_that_do_not_fit_are_refused(packed, tmp_path, change):
    for file in packed.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tensors = load_file(tmp_path / "layer-00000.safetensors")
    name = "model.layers.0.mlp.experts.bits"
    if change == "bits":
        tensors[name] = tensors[name].flip(0)[:3].contiguous()
    elif change == "missing":
        del tensors[name]
    else:
        codes = "model.layers.0.self_attn.q_proj.weight.codes"
        tensors[codes] = tensors[codes][:, :4].contiguous()
    save_file(tensors, tmp_path / "layer-00000.safetensors")
    with pytest.raises(BrokenWeights):
        runtime.load_packed(tmp_path)
