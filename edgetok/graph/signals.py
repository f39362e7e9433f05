"""What a reduction may look at: computed when asked for, at the anchor, on the tokens as they are there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from torch import Tensor

from edgetok.graph.arrange import cast
from edgetok.graph.state import score_of

if TYPE_CHECKING:
    from edgetok.graph.site import Site


@dataclass(frozen=True)
class Signals:
    """Signals at one site. Shapes: B batch, N tokens entering the reduction, C channels, H heads, d head size.

    Attributes:
        site: the site, with its structure.
        hidden: ``(B, N, C)`` the residual stream after the attention.
        sizes: ``(B, N)`` how many original tokens each stands for, 0 for padding; ``None`` while all are 1.
        tokens: N.
        protected: how many tokens at the front must be kept as they are.
        padded: whether ``sizes`` can be 0.
    """

    site: Site
    hidden: Tensor
    sizes: Tensor | None
    tokens: int
    protected: int
    padded: bool
    _heads: Callable[[str], Tensor]

    @cached_property
    def keys_per_head(self) -> Tensor:
        """``(B, H, N, d)`` the keys of the site's attention, after any norm and rotation."""
        return self._heads("key")

    @cached_property
    def keys(self) -> Tensor:
        """``(B, N, d)`` the keys, averaged over heads."""
        return self.keys_per_head.mean(1)

    @cached_property
    def queries_per_head(self) -> Tensor:
        """``(B, H, N, d)`` the queries of the site's attention."""
        return self._heads("query")

    @cached_property
    def values_per_head(self) -> Tensor:
        """``(B, H, N, d)`` the values of the site's attention."""
        return self._heads("value")

    def attention_row(self, token: int | None = 0, *, proportional: bool = True) -> Tensor:
        """``(B, N)`` the attention that one token pays to all, averaged over heads: one row, not N x N.

        ``None`` stands for the mean query of all real tokens: what the sequence as a whole attends to. Biases of the
        model's own, such as relative positions, are left out. Without ``proportional`` the size of tokens does not
        count, as it does not in models where reductions leave ``log size`` out of attention; padding gets nothing.
        """
        query = self._mean_query if token is None else self.queries_per_head[:, :, token : token + 1]
        key = self.keys_per_head
        if key.shape[1] != query.shape[1]:
            key = key.repeat_interleave(query.shape[1] // key.shape[1], 1)
        scores = (query @ key.transpose(-2, -1)) * self._scale(key.shape[-1])
        if self.sizes is not None and (proportional or self.padded):
            bias = score_of(self.sizes, padded=self.padded, proportional=proportional)
            scores = scores + cast(bias, scores.dtype)[:, None, None]
        row: Tensor = scores.softmax(-1).mean(1).squeeze(1)
        return row

    def _scale(self, head_size: int) -> float:
        given = self.site.node.kwargs.get("scale")
        return given if isinstance(given, (int, float)) else head_size**-0.5

    @property
    def _mean_query(self) -> Tensor:
        if self.sizes is None:
            return self.queries_per_head.mean(2, keepdim=True)
        weights = self.sizes / self.sizes.sum(1, keepdim=True).clamp_min(1.0)
        return weights[:, None, None] @ self.queries_per_head

    @property
    def segments(self) -> tuple[int, ...]:
        """Tokens in each segment up to the one that is reduced, e.g. ``(1, 4, 196)``: class, registers, patches."""
        space = self.site.space
        return (*space.sizes[: space.main], self.tokens - self.protected)

    @property
    def grid(self) -> tuple[int, int] | None:
        """``(height, width)`` of the tokens after the protected ones while none has been removed."""
        return self.site.grid if self.tokens == self.site.tokens else None

    @property
    def real(self) -> Tensor | None:
        """``(B, N)`` bool, false for padding; ``None`` without padding."""
        return self.sizes > 0 if self.padded and self.sizes is not None else None
