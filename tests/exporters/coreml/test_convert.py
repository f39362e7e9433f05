"""fp16: the matching is exact in it."""

from __future__ import annotations

import numpy as np
import torch

import edgetok.ops as ops
from edgetok.verify.mil import MilRunner

N, R = 300, 40


def test_fp16_counts_exactly(program, target, package):
    """Every old token is kept or merged, once: a rank or position that is off by rounding would break that."""
    metric = torch.randn(1, N, 8, generator=torch.Generator().manual_seed(0))
    made = program(lambda metric: ops.bipartite_match(metric, None, R, 1, "reference"), {"metric": metric})
    exported = package(made, target())
    runner = MilRunner(exported.entry)
    keep, src, dst = (value.astype(np.float64) for value in runner({"metric": metric.numpy()}).values())
    assert sorted(np.concatenate([keep, src], axis=1)[0].tolist()) == list(range(N))
    assert ((dst >= 1) & (dst < N - R)).all()
    assert not {step.kind for step in runner.function.operations} & {"cast", "argsort", "topk", "gather_along_axis"}


def test_ties_go_to_the_lower_index_in_fp16(program, target, package):
    metric = torch.ones(1, 12, 4)
    made = program(lambda metric: ops.bipartite_match(metric, None, 3, 0, "reference"), {"metric": metric})
    found = MilRunner(package(made, target()).entry)({"metric": metric.numpy()})
    want = ops.bipartite_match(metric, None, 3, 0, "reference")
    assert [value.astype(int).tolist() for value in found.values()] == [value.tolist() for value in want]
