"""Axes as ordered products of factors, and factors as concatenations of segments.

An axis of size 24 * batch that folds 24 patches into the batch is the product ``(batch, patches)``; an axis of size
197 that starts with a class token is one factor with the segments ``1 | 196``. Factors are *unified* when an
operation shows that two axes are the same; a factor is *refined* when a reshape shows that it is a product. Sizes are
plain numbers: every symbolic size stands as a large prime of its own, so that products factor uniquely.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

_ids = itertools.count()


class ConflictError(Exception):
    """Two axes that an operation equates cannot be equal, or an axis does not divide as a reshape wants."""


@dataclass(eq=False, slots=True)
class Factor:
    """One factor of an axis.

    Attributes:
        size: its size; a prime of ``symbols.PRIMES`` stands for a symbolic size.
        origin: where it was first seen, for people.
        tags: ``"channel"`` (contracted with weights, or made by them), ``"feature"`` (made by weights), ``"batch"``,
            ``"input:NAME"`` (an axis of a user input).
        parts: the product it was refined into, or the factor it was unified with.
        segments: the concatenation it is, where known; ``()`` is a segment of one entry.
    """

    size: int
    origin: str
    tags: set[str] = field(default_factory=set)
    parts: Axis | None = None
    segments: tuple[Axis, ...] | None = None
    id: int = field(default_factory=lambda: next(_ids))

    def __repr__(self) -> str:
        return f"{self.origin}:{self.size}"


Axis = tuple[Factor, ...]


def resolve(axis: Iterable[Factor]) -> Axis:
    """The axis in terms of factors that are not refined further."""
    out: list[Factor] = []
    for factor in axis:
        out.extend([factor] if factor.parts is None else resolve(factor.parts))
    return tuple(out)


def size(axis: Iterable[Factor]) -> int:
    """The number of entries along an axis."""
    return math.prod(f.size for f in axis)


def ids(axis: Iterable[Factor]) -> tuple[int, ...]:
    """What identifies an axis: equal for axes that are the same."""
    return tuple(f.id for f in resolve(axis))


def refine(factor: Factor, first: int) -> tuple[Factor, Factor]:
    """Split a factor into ``first * rest``."""
    if not first or factor.size % first or factor.segments is not None:
        raise ConflictError(f"{factor} does not divide into {first} x the rest")
    left = Factor(first, factor.origin, set(factor.tags))
    right = Factor(factor.size // first, factor.origin, set(factor.tags))
    factor.parts = (left, right)
    return left, right


def unify(a: Iterable[Factor], b: Iterable[Factor]) -> None:
    """Declare two axes the same, refining and linking their factors."""
    left, right = list(resolve(a)), list(resolve(b))
    while left and right:
        x, y = left.pop(0), right.pop(0)
        if x is y:
            continue
        if x.size == y.size:
            link(x, y)
        elif x.size > y.size:
            left = [*refine(x, y.size), *left]
            right = [y, *right]
        else:
            right = [*refine(y, x.size), *right]
            left = [x, *left]
    if left or right:
        raise ConflictError(f"sizes differ by {size(left)} to {size(right)}")


def link(x: Factor, y: Factor) -> None:
    """Make two unrefined factors of one size the same factor, uniting tags and segments."""
    if x.segments is None and y.segments is not None:
        x, y = y, x
    if x.segments is not None and y.segments is not None:
        for offset in boundaries(y):
            cut(x, offset)
        for offset in boundaries(x):
            cut(y, offset)
        if boundaries(x) != boundaries(y):
            raise ConflictError(f"the segments of {x} and {y} overlap")
        for p, q in zip(leaves((x,)), leaves((y,)), strict=True):
            unify(p, q)
    x.tags |= y.tags
    y.parts = (x,)


def leaves(axis: Iterable[Factor]) -> list[Axis]:
    """The finest segments an axis is known to be a concatenation of; itself where none are known."""
    resolved = resolve(axis)
    if len(resolved) != 1 or resolved[0].segments is None:
        return [resolved]
    return [leaf for segment in resolved[0].segments for leaf in leaves(segment)]


def boundaries(factor: Factor) -> list[int]:
    """The inner offsets at which a factor's finest segments meet."""
    sizes = [size(leaf) for leaf in leaves((factor,))]
    return list(itertools.accumulate(sizes))[:-1]


def cut(factor: Factor, offset: int) -> None:
    """Make ``offset`` a boundary between segments of ``factor``."""
    if offset in (0, factor.size):
        return
    if factor.segments is None:
        sizes = (offset, factor.size - offset)
        factor.segments = tuple(() if n == 1 else (Factor(n, f"{factor.origin}[{i}]"),) for i, n in enumerate(sizes))
        return
    start = 0
    for segment in factor.segments:
        inner = resolve(segment)
        if start < offset < start + size(inner):
            if len(inner) != 1:
                raise ConflictError(f"a cut at {offset} falls inside the product {inner}")
            cut(inner[0], offset - start)
        start += size(inner)


def regroup(axes: Sequence[Axis], sizes: Sequence[int]) -> list[Axis]:
    """The axes of a reshape: factors are dealt out in order and refined where a new axis ends inside one."""
    queue = [f for axis in axes for f in resolve(axis)]
    out: list[Axis] = []
    for wanted in sizes:
        group: list[Factor] = []
        have = 1
        while have < wanted:
            if not queue or wanted % have:
                raise ConflictError(f"axes {axes} do not regroup to {tuple(sizes)}")
            factor, need = queue.pop(0), wanted // have
            if need % factor.size == 0:
                group.append(factor)
                have *= factor.size
                continue
            common = math.gcd(need, factor.size)
            if common == 1:
                raise ConflictError(f"{factor} does not divide by {need}")
            queue = [*refine(factor, common), *queue]
        out.append(tuple(group))
    return out
