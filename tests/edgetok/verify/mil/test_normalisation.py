from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

generator = torch.Generator().manual_seed(0)
INPUTS = {"x": torch.randn(2, 3, 4, 5, generator=generator) * 2 + 1}
GAMMA, BETA = torch.randn(5, generator=generator), torch.randn(5, generator=generator)
CHANNEL = [torch.rand(3, generator=generator) + 0.5 for _ in range(4)]
EPSILON = np.float32(1e-3)


def case(kind, expect, **options):
    return SimpleNamespace(
        id=kind,
        kind=kind,
        build=lambda mb, v: getattr(mb, kind)(x=v["x"], epsilon=EPSILON, **options),
        expect=lambda t: expect(t["x"]),
    )


CASES = [
    case(
        "layer_norm",
        lambda x: F.layer_norm(x, (5,), GAMMA, BETA, 1e-3),
        axes=[-1],
        gamma=GAMMA.numpy(),
        beta=BETA.numpy(),
    ),
    case(
        "batch_norm",
        lambda x: F.batch_norm(x, CHANNEL[0], CHANNEL[1], CHANNEL[2], CHANNEL[3], eps=1e-3),
        mean=CHANNEL[0].numpy(),
        variance=CHANNEL[1].numpy(),
        gamma=CHANNEL[2].numpy(),
        beta=CHANNEL[3].numpy(),
    ),
    case(
        "instance_norm",
        lambda x: F.instance_norm(x, weight=CHANNEL[2], bias=CHANNEL[3], eps=1e-3),
        gamma=CHANNEL[2].numpy(),
        beta=CHANNEL[3].numpy(),
    ),
    case("l2_norm", lambda x: x / (x.square().sum((1, 2, 3), keepdim=True) + 1e-3).sqrt()),
    SimpleNamespace(
        id="layer_norm-axes",
        kind="layer_norm",
        build=lambda mb, v: mb.layer_norm(x=v["x"], axes=[1, 3]),
        expect=lambda t: (
            (t["x"] - t["x"].mean((1, 3), keepdim=True))
            / (t["x"].var((1, 3), correction=0, keepdim=True) + 1e-5).sqrt()
        ),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_it_is_what_torch_says(case, agrees):
    agrees(case, INPUTS)
