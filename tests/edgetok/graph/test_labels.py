"""Labels of random graphs are true: sizes are those of the trace, and rewriting by them loses nothing of twins."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import event, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from edgetok.graph import factors, find_sites, rewrite, run_rewritten

B, N, C = 7, 12, 8
"""The batch is the only size that 7 divides."""


@dataclass(frozen=True)
class Made:
    """What is known of a value: where its tokens are, which window of them, and whether twins are still equal."""

    axis: int | None
    window: tuple[int, int] = (0, N)
    safe: bool = True


class Random(nn.Module):
    """One block of attention, then a list of operations, each on values made before; all of them are outputs."""

    def __init__(self, operations: list[tuple[Any, ...]]) -> None:
        super().__init__()
        self.operations = operations
        self.norm, self.qkv = nn.LayerNorm(C), nn.Linear(C, 3 * C)
        self.layers = nn.ModuleDict({f"{i}": nn.Linear(o[2], 6) for i, o in enumerate(operations) if o[0] == "linear"})

    def forward(self, x: Tensor) -> list[Tensor]:
        q, k, v = self.qkv(self.norm(x)).unflatten(-1, (3, 2, C // 2)).permute(2, 0, 3, 1, 4).unbind(0)
        values = [x + F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)]
        for i, (name, source, *rest) in enumerate(self.operations):
            values.append(self.apply_one(str(i), name, values, source, rest))
        return values

    def apply_one(self, key: str, name: str, values: list[Tensor], source: int, rest: list[Any]) -> Tensor:
        x = values[source]
        if name == "linear":
            return self.layers[key](x)
        if name in ("add", "mul", "sub", "maximum"):
            return getattr(torch, name)(x, values[rest[0]])
        if name == "cat":
            return torch.cat([x, values[rest[0]]], rest[1])
        if name == "attend":
            return F.scaled_dot_product_attention(x, x, x)
        if name == "pairs":
            return x @ x.transpose(-1, -2)
        if name == "pad":
            return F.pad(x, (1, 2))
        return getattr(x, name)(*rest)


def reshaped(x: Tensor, sizes: list[int]) -> list[int]:
    """Sizes with the batch left to be worked out."""
    return [-1 if n % B == 0 else n for n in sizes]


@st.composite
def programs(draw):
    """Operations that fit together, found by running each on an example."""
    with torch.no_grad():
        values, known, operations = [torch.randn(B, N, C)], [Made(1)], []
        for _ in range(draw(st.integers(3, 8))):
            source = draw(st.integers(0, len(values) - 1))
            operation, made = draw(one_operation(values, known, source))
            module = Random([*operations, operation])
            try:
                values.append(module.apply_one(str(len(operations)), operation[0], values, source, list(operation[2:])))
            except (RuntimeError, IndexError):
                continue
            operations.append(operation)
            known.append(made)
    return operations


KINDS = ("unary", "linear", "along", "along", "transpose", "merge", "attend", "pairs", "pad", "binary", "binary")
UNARY = ("gelu", "neg", "abs", "sigmoid")
ALONG = ("cumsum", "softmax", "amax", "mean", "sum", "var", "flip", "roll", "select", "narrow", "split")


@st.composite
def one_operation(draw, values, known, source):
    """An operation on ``values[source]``, and what is known of its result."""
    x, made = values[source], known[source]
    static = [i for i, n in enumerate(x.shape) if n % B]
    name = draw(
        st.sampled_from(("unary", "linear", "along", "along", "transpose", "merge", "attend", "pairs", "pad", "binary"))
    )
    if name == "binary":
        return draw(binary(values, known, source))
    if name == "transpose" and x.dim() > 1:
        i, j = draw(st.integers(0, x.dim() - 1)), draw(st.integers(0, x.dim() - 1))
        moved = {i: j, j: i}.get(made.axis, made.axis)
        return ("transpose", source, i, j), replace(made, axis=moved)
    if name == "merge" and x.dim() > 2:
        i = draw(st.integers(0, x.dim() - 2))
        sizes = [*x.shape[:i], x.shape[i] * x.shape[i + 1], *x.shape[i + 2 :]]
        return ("reshape", source, reshaped(x, sizes)), Made(None, safe=False)
    if name == "along" and static:
        return draw(along(x, made, source, draw(st.sampled_from(static))))
    last = x.dim() - 1
    if name in ("linear", "attend", "pad") and x.dim() > 2 and last in static and made.axis != last:
        return (name, source, x.shape[-1]), made
    if name == "pairs" and x.dim() > 2:
        return (name, source), Made(None, safe=False)
    if name in ("attend", "linear", "pad"):
        return ("mul", source, source), made
    return (draw(st.sampled_from(UNARY)).replace("gelu", "tanh"), source), made


@st.composite
def along(draw, x, made, source, axis):
    """An operation along one axis."""
    name, n, tokens = draw(st.sampled_from(ALONG)), x.shape[axis], made.axis == axis
    fewer = None if tokens or made.axis is None else made.axis - (made.axis > axis)
    gone = Made(fewer, made.window, made.safe)
    if name in ("amax", "mean", "sum", "var"):
        return (name, source, axis), gone
    if name == "select":
        return (name, source, axis, draw(st.integers(0, n - 1))), gone
    if name == "narrow":
        start = draw(st.integers(0, n - 1))
        length = draw(st.integers(1, n - start))
        window = (made.window[0] + start, length) if tokens else made.window
        return (name, source, axis, start, length), Made(made.axis, window, made.safe)
    if name == "split" and n % 2 == 0:
        moved = None if tokens or made.axis is None else made.axis + (made.axis > axis)
        sizes = [*x.shape[:axis], 2, n // 2, *x.shape[axis + 1 :]]
        return ("reshape", source, reshaped(x, sizes)), Made(moved, made.window, made.safe and not tokens)
    if name == "softmax":
        return (name, source, axis), made
    arguments = {"flip": ([axis],), "roll": (1, axis), "split": (axis,), "cumsum": (axis,)}[name]
    return (name.replace("split", "cumsum"), source, *arguments), replace(made, safe=made.safe and not tokens)


@st.composite
def binary(draw, values, known, source):
    """An operation on two values of one shape: twins stay equal where both have the same tokens at the same places."""
    x, made = values[source], known[source]
    fits = [i for i, (y, m) in enumerate(zip(values, known, strict=True)) if y.shape == x.shape and m.safe == made.safe]
    other = draw(st.sampled_from(fits))
    same = (made.axis, made.window) == (known[other].axis, known[other].window)
    if draw(st.booleans()):
        return (draw(st.sampled_from(("add", "mul", "sub", "maximum"))), source, other), replace(
            made, safe=made.safe and same
        )
    axis = draw(st.sampled_from([i for i, n in enumerate(x.shape) if n % B] or [0]))
    return ("cat", source, other, axis), replace(made, safe=made.safe and same and made.axis != axis)


def check_sizes(program) -> None:
    labels = program.labels
    for node in (n for n in program.graph.nodes if labels.has(n)):
        shape = labels.symbols.sizes(node.meta["val"].shape)
        assert tuple(factors.size(axis) for axis in labels.axes(node)) == shape


def check_twins(lab, operations, traced: bool) -> None:
    """Sizes are those of the trace; and where labels say that tokens are, merged twins come back as they were."""
    module = Random(operations)
    program = lab.capture(module, {"x": torch.randn(B, N, C)})
    assert not program.labels.unknown
    check_sizes(program)
    first = find_sites(program)[0]
    r = min(2, first.mergeable(N) // 2)
    if first.obstacle is not None or r < 1:
        event("refused" if first.obstacle else "too short")
        return
    event("rewritten")
    steps, span = lab.steps([first], lab.backwards, r), (first.protected, N - first.space.trailing)
    rewritten = rewrite(program, steps) if traced else None
    if rewritten is not None:
        check_sizes(rewritten)
    for batch in (B, 1):
        x = lab.twins_of(batch, N, C, r, span=span)
        with torch.no_grad():
            dense = module(x)
        outputs = lab.run(rewritten, {"x": x}) if rewritten else run_rewritten(program, steps, {"x": x})
        for i, (found, wanted) in enumerate(zip(outputs, dense, strict=True)):
            torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4, msg=lambda m, i=i: f"{i} {operations}: {m}")


@settings(max_examples=15)
@given(programs())
def test_labels_of_random_graphs_are_true(lab, operations):
    check_twins(lab, operations, traced=False)


@settings(max_examples=5)
@given(programs())
def test_labels_of_random_graphs_are_true_for_any_batch(lab, operations):
    check_twins(lab, operations, traced=True)
