"""Clips: how many, of how many tokens, before and after neighbours are joined."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Clips:
    """A sequence as clips of equal length.

    Attributes:
        count: how many.
        size: tokens in each.
        rest: tokens at the end that belong to none.
    """

    count: int
    size: int
    rest: int = 0

    @classmethod
    def of(cls, tokens: int, frames: int) -> Clips:
        """Every frame a clip."""
        return cls(frames, tokens // frames)

    @property
    def tokens(self) -> int:
        """All tokens."""
        return self.count * self.size + self.rest

    def merged(self, share: float) -> int:
        """How many tokens of a later clip merge into an earlier one."""
        return int(share * self.size)

    def joined(self, share: float) -> Clips:
        """The clips after neighbours became one; an odd one at the end is a rest from then on."""
        if self.count < 2:
            return self
        return Clips(self.count // 2, 2 * self.size - self.merged(share), self.rest + self.count % 2 * self.size)

    def segments(self, frames: int) -> Clips:
        """So many frames in each clip, of those that are frames now; at most all, and what is left over is a rest."""
        frames = min(frames, self.count)
        return Clips(self.count // frames, frames * self.size, self.rest + self.count % frames * self.size)
