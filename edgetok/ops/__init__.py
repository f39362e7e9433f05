"""The ``edgetok::`` operators: what token-reduction methods share, each one node in a captured graph.

A *token map* is ``keep [B, M]`` (old index of each new token's representative), ``src [B, r]`` (old indices merged
away) and ``dst [B, r]`` (the new index each goes to), int64. Old tokens in neither are dropped. As one vector it is
``dest [B, N]``: old -> new, -1 where dropped. Everything is functional and batch first; N, M and r are static.

Importing this package registers the operators with torch. ``edgetok.ops.realisations`` has their other
implementations, ``edgetok.ops.decisions`` judges a runtime's decisions.
"""

from __future__ import annotations

from typing import Literal, cast

from torch import Tensor

from edgetok.ops import register
from edgetok.ops.layout import max_r
from edgetok.ops.match import Match

Order = Literal["reference", "kept"]
Mode = Literal["mean", "sum", "first"]

__all__ = [
    "Match",
    "Mode",
    "Order",
    "bipartite_match",
    "compose",
    "destinations",
    "max_r",
    "reduce",
    "restore",
    "select_top",
]


def bipartite_match(metric: Tensor, sizes: Tensor | None, r: int, protected: int, order: Order = "reference") -> Match:
    """Token Merging's bipartite soft matching on cosine similarity (arXiv 2210.09461).

    Args:
        metric: ``[B, N, d]``, floating: what similarity is measured on.
        sizes: ``[B, N]``, floating, or None where all tokens are real. Size 0 marks padding: padding pairs with
            padding first of all, and with a real token only when nothing else is left.
        r: tokens to merge away, at most ``max_r(N, protected)``.
        protected: length of the prefix whose tokens are neither source nor destination.
        order: of the new tokens: ``reference`` is prefix, unmerged even tokens, odd tokens; ``kept`` is ascending.

    Returns:
        ``keep [B, N-r]``, ``src [B, r]`` from the best merge down, ``dst [B, r]``. Ties go to the lower index.

    Raises:
        ValueError: if r, protected or order do not fit.
    """
    return cast(Match, register.BIPARTITE_MATCH(metric, sizes, r, protected, order))


def select_top(scores: Tensor, k: int, protected: int) -> Tensor:
    """The first ``protected`` tokens and the ``k - protected`` highest-scoring others of ``scores [B, N]``.

    Returns:
        ``keep [B, k]``, int64, ascending. Ties go to the lower index.

    Raises:
        ValueError: unless ``0 <= protected <= k <= N``.
    """
    return cast(Tensor, register.SELECT_TOP(scores, k, protected))


def reduce(x: Tensor, sizes: Tensor | None, keep: Tensor, src: Tensor, dst: Tensor, mode: Mode = "mean") -> Tensor:
    """``x [B, N, C]`` on the new tokens, ``[B, M, C]``.

    Args:
        x: values per old token; floating for ``mean`` and ``sum``, any dtype for ``first``.
        sizes: ``[B, N]`` weights of ``mean``, None for ones. A group of size 0 gets its representative's value.
        keep: ``[B, M]``.
        src: ``[B, r]``.
        dst: ``[B, r]``.
        mode: ``mean`` weighted by size, ``sum`` (for sizes themselves, as ``[B, N, 1]``), ``first`` the
            representative's entry. Untouched tokens are copied bit for bit in every mode.

    Raises:
        ValueError: if the mode is unknown.
    """
    return cast(Tensor, register.REDUCE(x, sizes, keep, src, dst, mode))


def destinations(keep: Tensor, src: Tensor, dst: Tensor, n: int) -> Tensor:
    """The token map of ``n`` old tokens as one vector ``[B, n]``: old -> new, -1 where dropped."""
    return cast(Tensor, register.DESTINATIONS(keep, src, dst, n))


def restore(y: Tensor, dest: Tensor, dropped: Tensor | None = None) -> Tensor:
    """Every old token's value: ``y [B, M, C]`` at ``dest [B, N]``, where -1 that of ``dropped [B, N, C]`` or 0."""
    return cast(Tensor, register.RESTORE(y, dest, dropped))


def compose(first: Tensor, second: Tensor) -> Tensor:
    """``dest [B, N0]`` then ``dest [B, N1]`` as one ``[B, N0]``; -1 absorbs."""
    return cast(Tensor, register.COMPOSE(first, second))
