"""Any tensor seen as ``(batch, tokens, rest)``: where its labels say batch and tokens are, and back again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgetok.graph import factors
from edgetok.graph.factors import Axis
from edgetok.graph.space import Occurrence

Size = int | torch.SymInt
Axes = tuple[Axis, ...]


class UnplaceableError(Exception):
    """The batch factors of a map do not stand together in a tensor that it must be applied to."""


@dataclass(frozen=True)
class Arrangement:
    """How a tensor of given axes becomes ``(batch, tokens, rest)``.

    Attributes:
        groups: per axis the sizes of its sub-axes: factors, with the token run as one.
        batch, token: positions of the batch and token sub-axes in the flattened list; ``None`` without a batch.
        at: the axis and sub-axis of the tokens.
    """

    groups: tuple[tuple[Size, ...], ...]
    batch: tuple[int, ...]
    token: int
    at: tuple[int, int]

    @property
    def flat(self) -> list[Size]:
        """All sub-axes."""
        return [n for group in self.groups for n in group]

    @property
    def order(self) -> list[int]:
        """The permutation of sub-axes that puts batch first and tokens second."""
        front = [*self.batch, self.token]
        return [*front, *(i for i in range(len(self.flat)) if i not in front)]

    @property
    def _lead(self) -> list[Size]:
        return [self.flat[i] for i in self.batch]

    @property
    def _rest(self) -> list[Size]:
        return [self.flat[i] for i in self.order[len(self.batch) + 1 :]]

    @property
    def _plain(self) -> bool:
        return len(self.batch) == 1 and len(self._rest) == 1

    def view(self, x: Tensor) -> Tensor:
        """The tensor as ``(batch, tokens, rest)``."""
        flat, order = self.flat, self.order
        split = x if len(flat) == x.dim() else x.reshape(flat)
        moved = split if order == sorted(order) else split.permute(order)
        return moved if self._plain else moved.reshape(_product(self._lead), flat[self.token], _product(self._rest))

    def apply(self, x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        """``function`` on ``(batch, tokens, rest)``, which may change the number of tokens; the rest put back."""
        flat, order = self.flat, self.order
        y = function(self.view(x))
        tokens = y.shape[1]
        y = y if self._plain else y.reshape(*self._lead, tokens, *self._rest)
        back = y if order == sorted(order) else y.permute([order.index(i) for i in range(len(order))])
        return back if len(flat) == x.dim() else back.reshape(self._shape(tokens))

    def _shape(self, tokens: Size) -> list[Size]:
        axis, sub = self.at
        return [
            _product([tokens if (i, j) == (axis, sub) else n for j, n in enumerate(group)])
            for i, group in enumerate(self.groups)
        ]


def _product(sizes: Sequence[Size]) -> Size:
    out: Size = 1
    for n in sizes:
        out = n if isinstance(out, int) and out == 1 else out * n
    return out


def arrange(
    shape: Sequence[Size], axes: Axes, where: Occurrence, batch: Axis, measure: Callable[[Axis], Size], tokens: Size
) -> Arrangement:
    """The arrangement of a tensor.

    Args:
        shape: its shape now.
        axes: its axes.
        where: the occurrence of tokens that a map is applied to.
        batch: the factors the map varies over; all of them must be among ``axes``.
        measure: the current size of part of an axis.
        tokens: the current number of tokens at ``where``.

    Raises:
        UnplaceableError: some of ``batch`` is not there.
    """
    groups: list[tuple[Size, ...]] = []
    batch_ids, found, token, at, count = factors.ids(batch), {}, -1, (-1, -1), 0
    for i, axis in enumerate(axes):
        subs: list[Size] = []
        units = _units(i, axis, where, batch_ids)
        for unit, is_token in units:
            if is_token:
                token, at = count + len(subs), (i, len(subs))
            for f in unit if not is_token else ():
                if f.id in batch_ids:
                    found[f.id] = count + len(subs)
            subs.append(tokens if is_token else shape[i] if len(units) == 1 else measure(unit))
        groups.append(tuple(subs) or (1,))
        count += len(groups[-1])
    if set(found) != set(batch_ids):
        raise UnplaceableError("it does not have all batch axes")
    return Arrangement(tuple(groups), tuple(found[i] for i in batch_ids), token, at)


def _units(index: int, axis: Axis, where: Occurrence, batch: tuple[int, ...]) -> list[tuple[Axis, bool]]:
    """An axis cut into the units that matter: the token run, batch factors one by one, and what lies between."""
    units: list[tuple[Axis, bool]] = []
    loose: list[factors.Factor] = []
    for k, factor in enumerate(axis):
        in_run = index == where.axis and where.start <= k < where.stop
        if not in_run and factor.id not in batch:
            loose.append(factor)
            continue
        if loose:
            units.append((tuple(loose), False))
            loose = []
        if in_run and k == where.start:
            units.append((axis[where.start : where.stop], True))
        elif not in_run:
            units.append(((factor,), False))
    return [*units, (tuple(loose), False)] if loose else units


def has_batch(axes: Axes, batch: Axis) -> bool:
    """Whether every batch factor is somewhere among ``axes``."""
    present = {f.id for axis in axes for f in axis}
    return set(factors.ids(batch)) <= present


def give_batch(
    x: Tensor, axes: Axes, consumer: Axes, batch: Axis, measure: Callable[[Axis], Size]
) -> tuple[Tensor, Axes]:
    """A tensor without batch axes, aligned with its consumer and expanded to the consumer's axis with the batch.

    Raises:
        UnplaceableError: the consumer has no such axis, or the tensor has entries there, or other axes do not match.
    """
    missing = len(consumer) - len(axes)
    wanted = set(factors.ids(batch))
    places = [i for i, axis in enumerate(consumer) if wanted <= set(factors.ids(axis))]
    if missing < 0 or not places:
        raise UnplaceableError("what it is used with has no axis with the batch")
    place = places[0]
    aligned: list[Axis] = [()] * missing + list(axes)
    if any(a and (i == place or not _alike(a, consumer[i])) for i, a in enumerate(aligned)):
        raise UnplaceableError("its axes are not those of what it is used with")
    shape: list[Size] = [*[1] * missing, *x.shape]
    size = measure(consumer[place])
    wide = x.reshape(shape).expand([size if i == place else -1 for i in range(len(shape))])
    aligned[place] = consumer[place]
    return wide, tuple(aligned)


def _alike(a: Axis, b: Axis) -> bool:
    """Whether two axes are the same, or channels of the same size, which a table may have from elsewhere."""
    channels = all("channel" in f.tags for f in b) and factors.size(a) == factors.size(b)
    return factors.ids(a) == factors.ids(b) or channels


def spread(weights: Tensor, axes: Axes, where: Occurrence, batch: Axis) -> Tensor:
    """``(batch, tokens)`` weights shaped to broadcast against a tensor: batch and tokens must be axes of their own.

    Raises:
        UnplaceableError: one of them is folded into another axis.
    """
    token = where.axis
    if where.stop - where.start != len(axes[token]):
        raise UnplaceableError("its tokens share an axis with something else")
    if not batch:
        return weights.reshape([weights.shape[1] if i == token else 1 for i in range(len(axes))])
    places = [i for i, axis in enumerate(axes) if factors.ids(axis) == factors.ids(batch)]
    if not places:
        raise UnplaceableError("its batch shares an axis with something else")
    shape = [1] * len(axes)
    shape[places[0]], shape[token] = weights.shape
    ordered = weights if places[0] < token else weights.transpose(0, 1)
    return ordered.reshape(shape)


def cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    """``x`` in ``dtype``; nothing is traced where it has it already."""
    return x if x.dtype == dtype else x.to(dtype)


__all__ = ["Arrangement", "Size", "UnplaceableError", "arrange", "cast", "give_batch", "has_batch", "spread"]
