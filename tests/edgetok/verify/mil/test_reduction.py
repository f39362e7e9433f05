from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

INPUTS = {
    "x": torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)),
    "p": torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(1)) + 0.5,
    "ties": torch.tensor([[1.0, 3.0, 3.0, 0.0], [2.0, 2.0, 0.0, 0.0]]),
}


def case(kind, expect, a="x"):
    return SimpleNamespace(
        id=kind,
        kind=kind,
        build=lambda mb, v: getattr(mb, kind)(x=v[a], axes=[0, -1], keep_dims=True),
        expect=lambda t: expect(t[a], (0, -1)),
    )


CASES = [
    case("reduce_sum", lambda x, d: x.sum(d, keepdim=True)),
    case("reduce_mean", lambda x, d: x.mean(d, keepdim=True)),
    case("reduce_max", lambda x, d: x.amax(d, keepdim=True)),
    case("reduce_min", lambda x, d: x.amin(d, keepdim=True)),
    case("reduce_prod", lambda x, d: x.prod(2, keepdim=True).prod(0, keepdim=True)),
    case("reduce_l1_norm", lambda x, d: x.abs().sum(d, keepdim=True)),
    case("reduce_l2_norm", lambda x, d: x.norm(dim=d, keepdim=True)),
    case("reduce_sum_square", lambda x, d: x.square().sum(d, keepdim=True)),
    case("reduce_log_sum", lambda x, d: x.sum(d, keepdim=True).log(), "p"),
    case("reduce_log_sum_exp", lambda x, d: x.logsumexp(d, keepdim=True)),
    SimpleNamespace(
        id="all-axes",
        kind="reduce_sum",
        build=lambda mb, v: mb.expand_dims(x=mb.reduce_sum(x=v["x"], keep_dims=False), axes=[0]),
        expect=lambda t: t["x"].sum().reshape(1),
    ),
    SimpleNamespace(
        id="argmax-lowest",
        kind="reduce_argmax",
        build=lambda mb, v: mb.reduce_argmax(x=v["ties"], axis=1, keep_dims=False),
        expect=lambda t: torch.tensor([1, 0]),
    ),
    SimpleNamespace(
        id="argmin-lowest",
        kind="reduce_argmin",
        build=lambda mb, v: mb.reduce_argmin(x=v["ties"], axis=1, keep_dims=True),
        expect=lambda t: torch.tensor([[3], [2]]),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_it_is_what_torch_says(case, agrees):
    agrees(case, INPUTS)
