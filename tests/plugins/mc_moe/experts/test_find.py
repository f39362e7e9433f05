import pytest
import torch
from torch import nn

from edgetok.errors import UnsupportedModel
from edgetok_plugins.mc_moe.experts.find import find_blocks
from edgetok_plugins.mc_moe.experts.form import MATRICES, expert_output

transformers = pytest.importorskip("transformers")

SAME = 2e-6
"""Absolute, on outputs of 0.01 and more: the same sums in float32, in another order."""

FAMILIES = (
    *("Mixtral", "Olmoe", "Qwen2Moe", "Qwen3Moe", "DeepseekV2", "DeepseekV3"),
    *("GraniteMoe", "GptOss", "Phimoe", "SwitchTransformers"),
)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_matrices_reproduce_the_block(family, build):
    """Expert by expert, through the common view, the sum is what the model's own code computes."""
    model = build(family, "Model")
    block = find_blocks(model)[0]
    seen = {}
    block.experts.register_forward_hook(lambda _m, args, out: seen.update(args=args, out=out))
    ids = {"input_ids": torch.arange(24).reshape(2, 12) % 64}
    if family == "SwitchTransformers":
        ids["decoder_input_ids"] = ids["input_ids"]
    with torch.no_grad():
        model(**ids)
    routing = block.form.routing(seen["args"])
    total = torch.zeros_like(routing.tokens)
    for expert in range(block.form.count):
        rows, weights = routing.of(expert)
        matrices = [block.form.matrix(expert, name) for name in MATRICES]
        assert [tuple(matrix.shape) for matrix in matrices] == [block.form.shape(name) for name in MATRICES]
        out = expert_output(block.form, expert, routing.tokens[rows], *matrices)
        total.index_add_(0, rows, out * weights[:, None])
    assert routing.index.shape[0] == 24
    torch.testing.assert_close(total, seen["out"], atol=SAME, rtol=SAME)
    assert seen["out"].abs().mean() > 0.01


def test_a_token_without_room_has_no_expert(build):
    model = build("SwitchTransformers", "Model")
    block = find_blocks(model)[0]
    mask = torch.tensor([[[0, 1, 0, 0]], [[0, 0, 0, 0]]])
    routing = block.form.routing([torch.ones(2, 16), mask, torch.ones(2, 1)])
    assert routing.index.tolist() == [[1], [4]]


def test_dense_layers_have_no_block_and_shared_experts_are_named(build):
    deepseek = find_blocks(build("DeepseekV3", "Model"))
    assert [block.name for block in deepseek] == ["layers.1.mlp.experts"]
    assert deepseek[0].shared == ("layers.1.mlp.shared_experts",)
    assert [block.shared for block in find_blocks(build("Qwen2Moe", "Model"))] == [
        ("layers.0.mlp.shared_expert",),
        ("layers.1.mlp.shared_expert",),
    ]


def test_an_unknown_layout_is_refused_by_name():
    config = transformers.Llama4TextConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=24,
        intermediate_size_mlp=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        num_local_experts=4,
        head_dim=8,
    )
    with pytest.raises(UnsupportedModel, match="Llama4TextExperts"):
        find_blocks(transformers.Llama4TextModel(config))


def test_stacks_of_two_axes_are_refused_by_name():
    """DBRX keeps all experts of a layer below one another."""
    config = transformers.DbrxConfig(
        d_model=16,
        n_heads=2,
        n_layers=1,
        vocab_size=64,
        attn_config={"kv_n_heads": 1, "rope_theta": 10000.0},
        ffn_config={"ffn_hidden_size": 24, "hidden_size": 16, "moe_num_experts": 4, "moe_top_k": 2},
    )
    with pytest.raises(UnsupportedModel, match="DbrxExperts keeps experts"):
        find_blocks(transformers.DbrxModel(config))


@pytest.mark.parametrize("container", [nn.ModuleList, nn.Sequential])
def test_a_plain_list_of_experts_is_refused_by_the_class_that_has_it(container):
    class OddBlock(nn.Module):
        def __init__(self):
            super().__init__()
            layers = [nn.Linear(4, 4) for _ in range(2)]
            self.experts = container(layers) if container is nn.ModuleList else container(*layers)

    with pytest.raises(UnsupportedModel, match="OddBlock keeps experts") as refused:
        find_blocks(nn.Sequential(nn.Linear(4, 4), OddBlock()))
    assert f"1.experts is a {container.__name__}" in str(refused.value.why)


def test_a_model_without_experts_is_refused():
    with pytest.raises(UnsupportedModel, match="no mixture of experts"):
        find_blocks(nn.Sequential(nn.Linear(4, 4)))
