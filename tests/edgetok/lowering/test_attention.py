import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from edgetok.lowering.attention import explicit_attention


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
