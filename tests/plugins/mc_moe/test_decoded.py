"""Checkpoints as gpt-oss and DeepSeek-V3 ship them are what they stand for, in memory and in what is made of them."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from edgetok.errors import BrokenWeights, UnsupportedModel
from edgetok_plugins.mc_moe import McMoe
from edgetok_plugins.mc_moe.compress import compress
from edgetok_plugins.mc_moe.decoded import FP8, Decoded, from_fp8, from_mxfp4

IDS = {"input_ids": torch.arange(40).reshape(2, 20) * 7 % 64}
OPTIONS = McMoe(bits=2.0, group_size=8)


def random_mxfp4(experts, out, groups, generator):
    codes = torch.randint(0, 256, (experts, out, groups, 16), generator=generator, dtype=torch.uint8)
    exponents = torch.randint(118, 130, (experts, out, groups), generator=generator, dtype=torch.uint8)
    return codes, exponents


def test_mxfp4_is_what_transformers_makes_of_it():
    mxfp4 = pytest.importorskip("transformers.integrations.mxfp4")
    codes, exponents = random_mxfp4(3, 8, 2, torch.Generator().manual_seed(0))
    wanted = mxfp4.convert_moe_packed_tensors(codes, exponents)
    assert torch.equal(from_mxfp4(codes, exponents), wanted)
    assert torch.equal(from_mxfp4(codes[1], exponents[1]), wanted[1])


def test_mxfp4_by_hand():
    """0x2B is 0xB = -1.5, then 0x2 = 1; 2**(128 - 127) = 2."""
    found = from_mxfp4(torch.tensor([[[0x2B]]], dtype=torch.uint8), torch.tensor([[128]], dtype=torch.uint8))
    assert found.tolist() == [[-3.0], [2.0]]


def test_blocks_of_fp8_may_be_cut_at_the_edges():
    codes = torch.ones(3, 5).to(FP8)
    scales = torch.tensor([[1.0, 2.0], [4.0, 8.0]])
    wanted = [[1.0, 1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 1.0, 2.0, 2.0], [4.0, 4.0, 4.0, 8.0, 8.0]]
    assert from_fp8(codes, scales, (2, 3)).tolist() == wanted


@pytest.fixture
def gpt_oss(build, saved, tmp_path):
    """A checkpoint in MXFP4 and the same in bfloat16."""
    plain = saved(build("GptOss", "ForCausalLM", hidden_size=32, intermediate_size=32), "5GB")
    state, generator = load_file(plain / "model.safetensors"), torch.Generator().manual_seed(0)
    coded = dict(state)
    for name in [name for name in state if name.endswith(("gate_up_proj", "down_proj"))]:
        experts, inner, out = coded.pop(name).shape
        codes, exponents = random_mxfp4(experts, out, inner // 32, generator)
        coded |= {f"{name}_blocks": codes, f"{name}_scales": exponents}
        state[name] = from_mxfp4(codes, exponents)
    return written(tmp_path, plain, coded, {"quant_method": "mxfp4"}), written(tmp_path, plain, state)


@pytest.fixture
def deepseek(build, saved, tmp_path):
    """A checkpoint in FP8 and the same in bfloat16, in blocks that do not divide sizes."""
    plain = saved(build("DeepseekV3", "ForCausalLM"), "5GB")
    state, generator = load_file(plain / "model.safetensors"), torch.Generator().manual_seed(0)
    coded = dict(state)
    for name in [name for name in state if name.endswith("_proj.weight") or ".experts." in name]:
        codes = coded[name].to(FP8)
        counts = [-(-size // block) for size, block in zip(codes.shape, (5, 7), strict=True)]
        scales = torch.rand(*counts, generator=generator) + 0.5
        coded |= {name: codes, f"{name}_scale_inv": scales}
        state[name] = from_fp8(codes, scales, (5, 7))
    settings = {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [5, 7]}
    return written(tmp_path, plain, coded, settings), written(tmp_path, plain, state)


def written(place, like, state, settings=None):
    directory = place / ("coded" if settings else "plain")
    directory.mkdir()
    save_file(state, directory / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((like / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | ({"quantization_config": settings} if settings else {})))
    return directory


@pytest.mark.parametrize("family", ["gpt_oss", "deepseek"])
def test_what_ships_in_few_bits_is_compressed_to_the_same_bytes(family, request, tmp_path):
    """As the bfloat16 model that it stands for: whichever of the two was given."""
    coded, plain = request.getfixturevalue(family)
    shards, wanted = Decoded(coded), load_file(plain / "model.safetensors")
    assert set(shards) == set(wanted)
    for name, value in wanted.items():
        assert torch.equal(shards.read(name), value)
    made = []
    for source in (coded, plain):
        output = tmp_path / f"{source.name}-packed"
        compress(source, output, IDS, OPTIONS)
        made.append({file.name: file.read_bytes() for file in output.glob("*.safetensors")})
    assert made[0] == made[1]
    assert json.loads((tmp_path / "coded-packed" / "config.json").read_text())["quantization_config"]["format"] == 1


def test_fp8_without_scales_is_refused(tmp_path):
    save_file({"w": torch.zeros(4, 4).to(FP8)}, tmp_path / "model.safetensors")
    with pytest.raises(UnsupportedModel, match="w_scale_inv"):
        Decoded(tmp_path)


@pytest.mark.parametrize(
    ("codes", "scales"),
    [
        ({"w": torch.zeros(4, 4).to(FP8)}, {"w_scale_inv": torch.ones(2, 1)}),
        ({"w": torch.zeros(4).to(FP8)}, {"w_scale_inv": torch.ones(1)}),
        ({"w_blocks": torch.zeros(1, 2, 3, 16).byte()}, {"w_scales": torch.zeros(1, 2, 2).byte()}),
        ({"w_blocks": torch.zeros(2, 3, 16).byte()}, {"w_scales": torch.zeros(2, 3).byte()}),
    ],
)
def test_scales_that_do_not_fit_are_refused(tmp_path, codes, scales):
    save_file(codes | scales, tmp_path / "model.safetensors")
    with pytest.raises(BrokenWeights, match="scales of w"):
        Decoded(tmp_path)


@pytest.mark.parametrize("size", [128, [128], [0, 1], ["a", 1], [True, True]])
def test_a_block_size_that_is_none_is_refused(tmp_path, size):
    save_file({"w": torch.zeros(4)}, tmp_path / "model.safetensors")
    config = {"quantization_config": {"quant_method": "fp8", "weight_block_size": size}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnsupportedModel, match="weight_block_size"):
        Decoded(tmp_path)


def test_names_that_only_look_alike_are_left_alone(tmp_path):
    state = {"a_blocks": torch.zeros(3), "b_blocks": torch.zeros(3).byte(), "b_scales": torch.zeros(3)}
    save_file(state, tmp_path / "model.safetensors")
    assert set(Decoded(tmp_path)) == set(state)
