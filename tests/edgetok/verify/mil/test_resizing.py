from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from edgetok.errors import RuntimeFailed
from edgetok.verify.mil.registry import Operands, apply

INPUTS = {"x": torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))}


def case(name, kind, expect, tall, wide, **options):
    factors = {"scale_factor_height": tall, "scale_factor_width": wide}
    return SimpleNamespace(
        id=name,
        kind=kind,
        build=lambda mb, v: getattr(mb, kind)(x=v["x"], **factors, **options),
        expect=lambda t: expect(t["x"]),
    )


CASES = [
    case("nearest", "upsample_nearest_neighbor", lambda x: F.interpolate(x, scale_factor=2.0), 2.0, 2.0),
    case("nearest-uneven", "upsample_nearest_neighbor", lambda x: F.interpolate(x, scale_factor=(3, 2)), 3, 2),
    case(
        "bilinear",
        "upsample_bilinear",
        lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
        2,
        2,
        align_corners=False,
    ),
    case(
        "bilinear-corners",
        "upsample_bilinear",
        lambda x: F.interpolate(x, size=(10, 7), mode="bilinear", align_corners=True),
        2.5,
        1.5,
        align_corners=True,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_it_is_what_torch_says(case, agrees):
    agrees(case, INPUTS)


def test_a_broken_factor_of_nearest_is_refused():
    operands = Operands(
        "upsample_nearest_neighbor",
        {**INPUTS, "scale_factor_height": torch.tensor(1.5), "scale_factor_width": torch.tensor(2)},
    )
    with pytest.raises(RuntimeFailed, match="whole factors"):
        apply("upsample_nearest_neighbor", operands)
