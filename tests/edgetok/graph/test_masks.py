"""Masks are understood by what they do, however they are written."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgetok.graph.masks import Mask
from edgetok.graph.normalise import understand_masks

B, N, D, H = 3, 9, 4, 2


class Masked(nn.Module):
    """One attention whose mask is made by ``form``."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form
        self.bias = nn.Parameter(torch.randn(H, N, N))

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        h = x.reshape(x.shape[0], N, H, D).transpose(1, 2)
        kept = mask.sum() * 0.0
        return F.scaled_dot_product_attention(h, h, h, attn_mask=getattr(self, self.form)(x, mask)), kept

    def all_true(self, x: Tensor, mask: Tensor) -> Tensor:
        return torch.ones(x.shape[0], 1, N, N, dtype=torch.bool)

    def zeros(self, x: Tensor, mask: Tensor) -> Tensor:
        return torch.zeros(N, N)

    def causal(self, x: Tensor, mask: Tensor) -> Tensor:
        return torch.ones(N, N, dtype=torch.bool).tril()

    def causal_added(self, x: Tensor, mask: Tensor) -> Tensor:
        return torch.full((N, N), float("-inf")).triu(1)

    def causal_filled(self, x: Tensor, mask: Tensor) -> Tensor:
        place = torch.arange(N)
        return torch.zeros(N, N).masked_fill(place[None] > place[:, None], -1e9)

    def anticausal(self, x: Tensor, mask: Tensor) -> Tensor:
        return torch.ones(N, N, dtype=torch.bool).triu()

    def band(self, x: Tensor, mask: Tensor) -> Tensor:
        place = torch.arange(N)
        return (place[None] - place[:, None]).abs() <= 2

    def blocks(self, x: Tensor, mask: Tensor) -> Tensor:
        place = torch.arange(N) // 3
        return place[None] == place[:, None]

    def per_head(self, x: Tensor, mask: Tensor) -> Tensor:
        return torch.stack([torch.ones(N, N, dtype=torch.bool), torch.eye(N, dtype=torch.bool)])

    def fixed_keys(self, x: Tensor, mask: Tensor) -> Tensor:
        return torch.arange(N)[None] < 5

    def learned(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.bias

    def learned_causal(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.bias.masked_fill(~torch.ones(N, N, dtype=torch.bool).tril(), float("-inf"))

    def padding(self, x: Tensor, mask: Tensor) -> Tensor:
        return mask[:, None, None, :] != 0

    def padding_added(self, x: Tensor, mask: Tensor) -> Tensor:
        return (1.0 - (mask[:, None, None, :] != 0).float()) * torch.finfo(torch.float32).min

    def padding_expanded(self, x: Tensor, mask: Tensor) -> Tensor:
        return (mask != 0)[:, None, None, :].expand(-1, H, N, -1)

    def padding_and_bias(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.bias + self.padding_added(x, mask)

    def padding_and_causal(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.padding(x, mask) & self.causal(x, mask)

    def padding_of_queries(self, x: Tensor, mask: Tensor) -> Tensor:
        return (mask != 0)[:, None, :, None].expand(-1, 1, N, N)

    def padding_inverted(self, x: Tensor, mask: Tensor) -> Tensor:
        return mask[:, None, None, :] == 0

    def padding_by_one_value(self, x: Tensor, mask: Tensor) -> Tensor:
        return mask[:, None, None, :] == 1

    def padding_on_the_wrong_axis(self, x: Tensor, mask: Tensor) -> Tensor:
        return (mask != 0).unsqueeze(1)[:H].expand(H, N, N)

    def padding_shifted(self, x: Tensor, mask: Tensor) -> Tensor:
        return (mask.roll(1, 1) != 0)[:, None, None, :]

    def of_features(self, x: Tensor, mask: Tensor) -> Tensor:
        return (x.sum(-1) > 0)[:, None, None, :]

    def of_both(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.of_features(x, mask) & self.padding(x, mask)


def understood(lab, form: str) -> tuple[Mask, object]:
    inputs = {"x": torch.randn(B, N, H * D), "mask": torch.randint(1, 2, (B, N))}
    program = lab.capture(Masked(form), inputs)
    ((node, mask),) = understand_masks(program).items()
    return mask, node


@pytest.mark.parametrize(
    ("form", "kind", "additive"),
    [
        ("all_true", "none", False),
        ("zeros", "none", False),
        ("causal", "causal", False),
        ("causal_added", "causal", False),
        ("causal_filled", "causal", False),
        ("anticausal", "causal", False),
        ("band", "local", False),
        ("blocks", "pattern", False),
        ("per_head", "pattern", False),
        ("fixed_keys", "pattern", False),
        ("learned", "bias", True),
        ("learned_causal", "causal", True),
        ("padding", "padding", False),
        ("padding_added", "padding", False),
        ("padding_expanded", "padding", False),
        ("padding_and_bias", "padding", True),
        ("padding_and_causal", "causal", False),
        ("padding_of_queries", "unknown", False),
        ("padding_inverted", "unknown", False),
        ("padding_by_one_value", "unknown", False),
        ("padding_on_the_wrong_axis", "unknown", False),
        ("padding_shifted", "unknown", False),
        ("of_features", "unknown", False),
        ("of_both", "unknown", False),
    ],
)
def test_masks_are_what_they_do(lab, form, kind, additive):
    mask, _ = understood(lab, form)
    assert (mask.kind, mask.additive) == (kind, additive)
    assert mask.source == ("mask" if kind == "padding" else mask.source)


@pytest.mark.parametrize("form", ["all_true", "zeros"])
def test_masks_that_block_nothing_are_dropped(lab, form):
    _, node = understood(lab, form)
    assert "attn_mask" not in node.kwargs
    assert len(node.args) == 3


@pytest.mark.parametrize("form", ["padding", "padding_added", "padding_expanded"])
def test_padding_is_made_anew_per_key(lab, form):
    _, node = understood(lab, form)
    value = node.kwargs["attn_mask"].meta["val"]
    assert value.dtype == torch.bool
    assert list(value.shape[1:]) == [1, 1, N]


@pytest.mark.parametrize("form", ["learned", "learned_causal", "padding_and_bias"])
def test_biases_not_read_yet_count_as_biases(lab, form):
    """The same answer whether parameters are fake (planning) or real (rewriting)."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    module = Masked(form)
    with FakeTensorMode(allow_non_fake_inputs=True):
        module.bias = nn.Parameter(torch.empty(H, N, N))
    program = lab.capture(module, {"x": torch.randn(B, N, H * D), "mask": torch.ones(B, N, dtype=torch.long)})
    (mask,) = understand_masks(program).values()
    assert mask == understood(lab, form)[0]
