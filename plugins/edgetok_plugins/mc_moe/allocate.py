"""How many bits each expert gets: an integer programme, solved exactly.

With ``f`` an expert's routing frequency, ``w`` its routing weight and ``e_b`` the error it causes at ``b`` bits,

    minimise    sum over experts i and widths b of  f_i^alpha * w_i^beta * e_ib^gamma * x_ib
    subject to  sum_b x_ib = 1,   sum_ib b * x_ib <= budget,   sum_i x_ib >= min_count[b],   x binary

(Mixture Compressor, ICLR 2025, https://arxiv.org/abs/2410.06270, with the budget as an upper bound.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgetok.errors import BadSchedule, MissingExtra

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Costs = NDArray[np.float64]

MIN_COUNT: Mapping[int, int] = {3: 1, 2: 1}
_SCALE = 1e6
"""The solver's gaps are absolute, about 1e-6: the largest cost becomes this, so that they do not matter."""


def allocate_bits(
    frequency: ArrayLike,
    weight: ArrayLike,
    loss: ArrayLike,
    *,
    budget: float,
    bits: Sequence[int] = (1, 2, 3),
    alpha: float = 1.0,
    beta: float = 1.5,
    gamma: float = 2.0,
    min_count: Mapping[int, int] = MIN_COUNT,
) -> list[int]:
    """Bits for each expert of one layer, at the least total cost.

    Args:
        frequency: ``[experts]``, the share of tokens that each expert gets.
        weight: ``[experts]``, the mean routing weight that each gets.
        loss: ``[experts, len(bits)]``, the error of the layer's output with that expert at that width.
        budget: upper bound on the sum of bits over the layer.
        bits: the widths there are, ascending.
        alpha: exponent of the frequency.
        beta: exponent of the weight.
        gamma: exponent of the loss.
        min_count: at least so many experts at that width.

    Raises:
        ValueError: shapes differ, or a figure is negative or not finite.
        BadSchedule: no allocation meets the constraints; says which one stands in the way.
        MissingExtra: scipy is not installed.
    """
    cost = costs(frequency, weight, loss, alpha, beta, gamma)
    return _solve([cost], budget, bits, min_count)[0]


def allocate_global(
    frequency: Sequence[ArrayLike],
    weight: Sequence[ArrayLike],
    loss: Sequence[ArrayLike],
    *,
    budget: float,
    norm: Sequence[float] | None = None,
    bits: Sequence[int] = (1, 2, 3),
    alpha: float = 1.0,
    beta: float = 1.5,
    gamma: float = 2.0,
    min_count: Mapping[int, int] = MIN_COUNT,
) -> list[list[int]]:
    """Bits for each expert of all layers under one budget: the arguments of ``allocate_bits``, one entry per layer.

    Errors grow with depth, so each layer's are divided by ``norm``, the norm of its output (its mean error where that
    is not given): without it whole layers would fall to the lowest width. ``min_count`` holds in every layer.
    """
    import numpy as np

    losses = [np.asarray(each, dtype=np.float64) for each in loss]
    scales = norm if norm is not None else [float(each.mean()) for each in losses]
    scaled = [each / (scale or 1.0) for each, scale in zip(losses, scales, strict=True)]
    layers = zip(frequency, weight, scaled, strict=True)
    cost = [costs(f, w, e, alpha, beta, gamma) for f, w, e in layers]
    return _solve(cost, budget, bits, min_count)


def costs(frequency: ArrayLike, weight: ArrayLike, loss: ArrayLike, alpha: float, beta: float, gamma: float) -> Costs:
    """``f^alpha * w^beta * e^gamma``, shape ``[experts, widths]``, float64.

    Raises:
        ValueError: shapes differ, or a figure is negative or not finite.
    """
    import numpy as np

    f, w, e = (np.asarray(each, dtype=np.float64) for each in (frequency, weight, loss))
    if f.ndim != 1 or f.shape != w.shape or e.ndim != 2 or len(e) != len(f):
        raise ValueError(f"frequency {f.shape} and weight {w.shape} are [experts], loss {e.shape} [experts, widths]")
    if any(not np.isfinite(each).all() or (each < 0).any() for each in (f, w, e)):
        raise ValueError("frequencies, weights and losses are finite and not negative")
    cost: Costs = (f**alpha * w**beta)[:, None] * e**gamma
    return cost


def _solve(
    layers: Sequence[Costs], budget: float, bits: Sequence[int], min_count: Mapping[int, int]
) -> list[list[int]]:
    if any(cost.shape[1] != len(bits) for cost in layers):
        raise ValueError(f"losses are given for {layers[0].shape[1]} widths; bits are {tuple(bits)}")
    _check_feasible([len(cost) for cost in layers], budget, bits, min_count)
    try:
        from scipy.optimize import Bounds, milp
    except ImportError as error:
        raise MissingExtra("Allocating bits needs scipy.", hint="pip install 'edgetok[moe]'") from error
    import numpy as np

    cost = np.concatenate(layers)
    top = float(cost.max()) or 1.0
    found = milp(
        (cost / top * _SCALE).ravel(),
        integrality=np.ones(cost.size),
        bounds=Bounds(0, 1),
        constraints=_constraints([len(each) for each in layers], budget, bits, min_count),
        options={"mip_rel_gap": 0.0},
    )
    if found.x is None:
        raise BadSchedule("The solver found no allocation of bits.", why=str(found.message))
    chosen = [bits[index] for index in found.x.reshape(cost.shape).argmax(axis=1)]
    ends = np.cumsum([len(each) for each in layers]).tolist()
    return [chosen[end - len(each) : end] for end, each in zip(ends, layers, strict=True)]


def _constraints(
    sizes: Sequence[int], budget: float, bits: Sequence[int], min_count: Mapping[int, int]
) -> list[object]:
    """One width per expert, the budget, and in each layer the least numbers of experts."""
    import numpy as np
    from scipy import sparse
    from scipy.optimize import LinearConstraint

    experts = sum(sizes)
    one_width = sparse.kron(sparse.eye_array(experts), np.ones((1, len(bits))), format="csr")
    spent = np.tile(np.asarray(bits, dtype=np.float64), experts)[None]
    made: list[object] = [LinearConstraint(one_width, 1, 1), LinearConstraint(spent, 0, math.floor(budget))]
    in_layer = sparse.block_diag([np.ones((1, size)) for size in sizes], format="csr")
    for width, count in min_count.items():
        at_width = (np.asarray(bits) == width).astype(np.float64)[None]
        made.append(LinearConstraint(sparse.kron(in_layer, at_width, format="csr"), count, np.inf))
    return made


def _check_feasible(sizes: Sequence[int], budget: float, bits: Sequence[int], min_count: Mapping[int, int]) -> None:
    """Say what stands in the way before the solver says that something does."""
    hint = "Raise the budget, or lower min_count."
    strange = sorted(width for width, count in min_count.items() if count > 0 and width not in bits)
    wanted = sum(min_count.values())
    least = sum(min_count[width] * width for width in min_count)
    least = len(sizes) * least + sum(size - wanted for size in sizes) * min(bits)
    if strange:
        why = f"min_count asks for experts of {strange} bits; the widths are {tuple(bits)}"
    elif any(size < wanted for size in sizes):
        why = f"min_count asks for {wanted} experts; a layer has {min(sizes)}"
    elif least > budget:
        why = (
            f"{sum(sizes)} experts with min_count {dict(min_count)} take at least {least} bits; the budget is {budget}"
        )
    else:
        return
    raise BadSchedule("No allocation of bits meets the constraints.", why=why, hint=hint)
