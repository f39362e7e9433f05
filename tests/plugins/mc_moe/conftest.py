"""Small models of every family, with random weights."""

from __future__ import annotations

import pytest
import torch

SIZES = {
    "vocab_size": 64,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
MLA = {
    "q_lora_rank": 8,
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 8,
    "n_routed_experts": 4,
    "moe_intermediate_size": 12,
    "first_k_dense_replace": 1,
    "num_experts_per_tok": 2,
    "topk_group": 1,
}
LOCAL = {"num_local_experts": 4, "num_experts_per_tok": 2}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2}
SWITCH = {
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 24,
    "num_layers": 2,
    "num_heads": 2,
    "num_experts": 4,
    "num_sparse_encoder_layers": 1,
    "num_decoder_layers": 2,
    "num_sparse_decoder_layers": 1,
    "expert_capacity": 4,
}
DECODERS = {
    "Mixtral": LOCAL,
    "Olmoe": EXPERTS,
    "Qwen2Moe": EXPERTS | {"moe_intermediate_size": 12, "shared_expert_intermediate_size": 20},
    "Qwen3Moe": EXPERTS | {"moe_intermediate_size": 12, "head_dim": 8},
    "DeepseekV2": MLA | {"n_group": 1},
    "DeepseekV3": MLA | {"n_group": 2},
    "GraniteMoe": LOCAL,
    "GptOss": LOCAL | {"head_dim": 8},
    "Phimoe": LOCAL,
}


def random_model(family, kind, **changes):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    options = SWITCH if family == "SwitchTransformers" else SIZES | DECODERS[family]
    config = getattr(transformers, f"{family}Config")(**options | changes)
    model = getattr(transformers, f"{family}{kind}")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


@pytest.fixture(scope="session")
def build():
    """``build(family, kind, **config)``: a model such as ``OlmoeForCausalLM``."""
    return random_model


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """``saved(model)``: a transformers directory with several shards."""

    def save(model, shard="20KB"):
        directory = tmp_path_factory.mktemp("model")
        model.save_pretrained(directory, max_shard_size=shard)
        return directory

    return save


@pytest.fixture(params=DECODERS)
def decoder(request):
    """The name of each family of decoders."""
    return request.param
