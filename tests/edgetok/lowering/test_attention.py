import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from edgetok.lowering import lower
from edgetok.lowering.attention import explicit_attention
from edgetok.registry import installed
from edgetok.testing import zoo
from edgetok.testing.trial import subject


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 99),
    mask=st.sampled_from(["none", "float", "bool", "causal"]),
    scale=st.sampled_from([None, 0.3]),
    groups=st.sampled_from([1, 2]),
)
def test_equals_torch(seed, mask, scale, groups):
    torch.manual_seed(seed)
    query = torch.randn(2, 4, 5, 8)
    key, value = torch.randn(2, 4 // groups, 5, 8), torch.randn(2, 4 // groups, 5, 6)
    masks = {"float": torch.randn(2, 1, 1, 5), "bool": (torch.rand(2, 1, 5, 5) > 0.4) | torch.eye(5, dtype=torch.bool)}
    options = {"attn_mask": masks.get(mask), "is_causal": mask == "causal", "scale": scale, "enable_gqa": groups > 1}
    want = F.scaled_dot_product_attention(query, key, value, **options)
    torch.testing.assert_close(explicit_attention(query, key, value, **options), want, rtol=1e-5, atol=1e-6)


def test_no_safe_softmax_is_left_to_toolchains():
    """Decomposed by torch, an attention looks for rows without any key: any, eq and where, outside every delegate."""
    program = subject(zoo.short_encoder).dense
    names = {str(node.target) for node in lower(program, installed().target("executorch-xnnpack")).exported.graph.nodes}
    assert "aten.scaled_dot_product_attention.default" in {str(node.target) for node in program.graph.nodes}
    assert "aten.softmax.int" in names
    assert not [
        n for n in names if any(w in n for w in ("scaled_dot", "safe_softmax", "any", "logical_not", "aten.eq"))
    ]
