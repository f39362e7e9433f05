from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

INPUTS = {"x": torch.randn(2, 3, 5, 2, generator=torch.Generator().manual_seed(0)) * 3}
ALPHA = torch.tensor([0.1, 0.2, 0.3])


def case(kind, expect, **options):
    return SimpleNamespace(
        id=f"{kind}-{'-'.join(map(str, options))}",
        kind=kind,
        build=lambda mb, v: getattr(mb, kind)(x=v["x"], **options),
        expect=lambda t: expect(t["x"]),
    )


CASES = [
    case("relu", F.relu),
    case("relu6", F.relu6),
    case("sigmoid", torch.sigmoid),
    case("silu", F.silu),
    case("softplus", F.softplus),
    case("softsign", F.softsign),
    case("gelu", F.gelu, mode="EXACT"),
    case("leaky_relu", lambda x: F.leaky_relu(x, 0.2), alpha=np.float32(0.2)),
    case("elu", lambda x: F.elu(x, 0.7), alpha=np.float32(0.7)),
    case("prelu", lambda x: F.prelu(x, ALPHA), alpha=ALPHA.numpy()),
    case("sigmoid_hard", lambda x: (0.3 * x + 0.4).clamp(0, 1), alpha=np.float32(0.3), beta=np.float32(0.4)),
    case("softmax", lambda x: x.softmax(1), axis=1),
]
APPROXIMATE = {
    "TANH_APPROXIMATION": lambda x: F.gelu(x, approximate="tanh"),
    "SIGMOID_APPROXIMATION": lambda x: x * torch.sigmoid(1.702 * x),
}
for _mode, _expect in APPROXIMATE.items():
    CASES.append(case("gelu", _expect, mode=_mode))
    CASES[-1].id = f"gelu-{_mode}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_it_is_what_torch_says(case, agrees):
    agrees(case, INPUTS)
