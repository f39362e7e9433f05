"""The functions of :mod:`edgetok.ops.matrix` as operators: what ``edgetok.lowering.fuse`` writes into a graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch._ops import OpOverload

from edgetok.ops import matrix

TABLE: dict[OpOverload, Callable[..., Any]] = {}
"""Each operator with its plain ATen function, for ``ExportedProgram.run_decompositions``."""


def _register(function: Callable[..., Any], schema: str) -> OpOverload:
    definition = torch.library.custom_op(f"edgetok::{function.__name__}", function, mutates_args=(), schema=schema)
    definition.register_fake(function)
    overload: OpOverload = getattr(torch.ops.edgetok, function.__name__).default
    TABLE[overload] = function
    return overload


HEAD_SUM = _register(matrix.head_sum, "(Tensor keys, int heads) -> Tensor")
MATCH_MATRICES = _register(
    matrix.match_matrices, "(Tensor metric, int r, int protected) -> (Tensor picks, Tensor into, Tensor rank)"
)
MATRIX_SUM = _register(matrix.matrix_sum, "(Tensor x, Tensor picks, Tensor into, int protected) -> Tensor")
MATRIX_MEAN = _register(
    matrix.matrix_mean,
    "(Tensor x, Tensor sizes, Tensor picks, Tensor into, int protected) -> Tensor",
)
MATRIX_IDS = _register(
    matrix.matrix_ids,
    "(Tensor picks, Tensor into, Tensor rank, int n, int protected) -> (Tensor keep, Tensor src, Tensor dst)",
)
