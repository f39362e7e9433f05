from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

INPUTS = {"x": torch.randn(2, 3, 6, 7, generator=torch.Generator().manual_seed(0))}


def case(name, kind, expect, **options):
    return SimpleNamespace(
        id=name,
        kind=kind,
        build=lambda mb, v: getattr(mb, kind)(x=v["x"], **options),
        expect=lambda t: expect(t["x"]),
    )


PADDED = {"kernel_sizes": [3, 3], "strides": [2, 2], "pad_type": "custom", "pad": [1, 1, 1, 1]}
CASES = [
    case(
        "max-row", "max_pool", lambda x: x.amax(-1, keepdim=True), kernel_sizes=[1, 7], strides=[1, 7], pad_type="valid"
    ),
    case("max-padded", "max_pool", lambda x: F.max_pool2d(x, 3, 2, 1), **PADDED),
    case("mean-padded", "avg_pool", lambda x: F.avg_pool2d(x, 3, 2, 1), **PADDED, exclude_padding_from_average=False),
    case(
        "mean-excluding",
        "avg_pool",
        lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
        **PADDED,
        exclude_padding_from_average=True,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_it_is_what_torch_says(case, agrees):
    agrees(case, INPUTS)
