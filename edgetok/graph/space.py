"""Token spaces: the axis that is both the query and the key axis of an attention, and where it occurs."""

from __future__ import annotations

from dataclasses import dataclass

from edgetok.graph import factors
from edgetok.graph.factors import Axis


@dataclass(frozen=True)
class Occurrence:
    """A place where an axis carries (a window of) a token space.

    Attributes:
        axis: which axis of the tensor.
        start, stop: the run of factors within the axis, ``axis[start:stop]``.
        first, last: the segments of the space it covers, ``segments[first:last]``.
    """

    axis: int
    start: int
    stop: int
    first: int
    last: int


@dataclass(frozen=True)
class Space:
    """A token space.

    Attributes:
        index: its number within the program, in the order of its first attention.
        axis: its factors; frames x positions is two of them.
        segments: the finest segments known, e.g. ``(), (patches,)`` for a class token and patches.
    """

    index: int
    axis: Axis
    segments: tuple[Axis, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of tokens in each segment, as captured."""
        return tuple(factors.size(s) for s in self.segments)

    @property
    def tokens(self) -> int:
        """The number of tokens, as captured."""
        return sum(self.sizes)

    @property
    def main(self) -> int:
        """The segment that can be reduced: the longest one."""
        return max(range(len(self.segments)), key=lambda i: self.sizes[i])

    @property
    def protected(self) -> int:
        """The number of tokens before the main segment: class, distillation and register tokens."""
        return sum(self.sizes[: self.main])

    @property
    def trailing(self) -> int:
        """The number of tokens after the main segment."""
        return sum(self.sizes[self.main + 1 :])

    def occurrences(self, axes: tuple[Axis, ...]) -> list[Occurrence]:
        """Everywhere that the axes of a value carry the space or consecutive segments of it with the main one."""
        return [o for i, axis in enumerate(axes) for o in self._in_axis(i, axis)]

    def _in_axis(self, index: int, axis: Axis) -> list[Occurrence]:
        run = factors.ids(axis)
        found = []
        for first, last, wanted in self._windows():
            for start in range(len(run) - len(wanted) + 1):
                if run[start : start + len(wanted)] == wanted:
                    found.append(Occurrence(index, start, start + len(wanted), first, last))
        found += self._joined(index, axis, {(o.start, o.stop) for o in found})
        return found

    def _windows(self) -> list[tuple[int, int, tuple[int, ...]]]:
        """The whole space and its main segment, each with the factor ids that show it."""
        whole = (0, len(self.segments), factors.ids(self.axis))
        main = (self.main, self.main + 1, factors.ids(self.segments[self.main]))
        return [whole] if main[2] == whole[2] or not main[2] else [whole, main]

    def _joined(self, index: int, axis: Axis, taken: set[tuple[int, int]]) -> list[Occurrence]:
        """Factors that are concatenations of several, but not all, segments."""
        segments, found = [factors.ids(s) for s in self.segments], []
        for at, factor in enumerate(axis):
            pieces = [factors.ids(leaf) for leaf in factors.leaves((factor,))]
            if len(pieces) < 2 or (at, at + 1) in taken or factors.ids(self.segments[self.main]) not in pieces:
                continue
            for first in range(len(segments) - len(pieces) + 1):
                if segments[first : first + len(pieces)] == pieces and first <= self.main < first + len(pieces):
                    found.append(Occurrence(index, at, at + 1, first, first + len(pieces)))
        return found

    def carried_by(self, axes: tuple[Axis, ...]) -> bool:
        """Whether any axis carries (a window of) the space."""
        return bool(self.occurrences(axes))
