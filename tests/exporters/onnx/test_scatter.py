"""``scatter_reduce`` as torch defines it, many sources to one destination included."""

from __future__ import annotations

import pytest
import torch


@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("how", ["mean", "sum", "amax", "amin", "prod"])
def test_every_reduction(capture, trip, agree, how, include_self, dtype):
    def scatter(x, index, src):
        return (x.scatter_reduce(1, index, src, how, include_self=include_self),)

    generator = torch.Generator().manual_seed(0)
    example = {
        "x": torch.randint(1, 4, (2, 6, 3), generator=generator).float(),
        "index": torch.tensor([[0, 0, 0, 2, 5]]).unsqueeze(-1).expand(2, 5, 3).contiguous(),
        "src": torch.randint(1, 4, (2, 5, 3), generator=generator).float(),
    }
    program = capture(scatter, example)
    agree(trip(program, dtype=dtype), program, example, atol=1e-6 if dtype == "fp32" else 1e-2)
