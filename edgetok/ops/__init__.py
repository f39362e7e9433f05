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
from edgetok.ops.packed import packed_matmul

Order = Literal["reference", "kept"]
Mode = Literal["mean", "sum", "max", "first"]

__all__ = [
    "Match",
    "Mode",
    "Order",
    "bipartite_match",
    "compose",
    "destinations",
    "match_among",
    "max_r",
    "packed_matmul",
    "rank_top",
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


def rank_top(scores: Tensor, k: int, protected: int) -> Tensor:
    """The ``k`` highest-scoring tokens of ``scores [B, N]`` behind the first ``protected`` ones, best first.

    Returns:
        ids ``[B, k]``, int64. Ties go to the lower index.

    Raises:
        ValueError: unless ``0 <= k <= N - protected``.
    """
    return cast(Tensor, register.RANK_TOP(scores, k, protected))


def match_among(metric: Tensor, sizes: Tensor | None, sources: Tensor, targets: Tensor, r: int) -> Match:
    """Merge the ``r`` sources most similar to a target into it; every other token stays.

    Args:
        metric: ``[B, N, d]``, floating: what cosine similarity is measured on.
        sizes: ``[B, N]`` or None; 0 marks padding, as in :func:`bipartite_match`.
        sources: ``[B, a]`` ids, distinct.
        targets: ``[B, b]`` ids, distinct and none of the sources.
        r: tokens to merge away, at most ``a``.

    Returns:
        ``keep [B, N-r]`` ascending, ``src [B, r]`` from the best merge down, ``dst [B, r]``. Ties go to the earlier in
        the list given.

    Raises:
        ValueError: if the numbers do not fit.
    """
    return cast(Match, register.MATCH_AMONG(metric, sizes, sources, targets, r))


def reduce(x: Tensor, sizes: Tensor | None, keep: Tensor, src: Tensor, dst: Tensor, mode: Mode = "mean") -> Tensor:
    """``x [B, N, C]`` on the new tokens, ``[B, M, C]``.

    Args:
        x: values per old token; floating for ``mean``, ``sum`` and ``max``, any dtype for ``first``.
        sizes: ``[B, N]`` weights of ``mean``, None for ones. A group of size 0 gets its representative's value.
        keep: ``[B, M]``.
        src: ``[B, r]``.
        dst: ``[B, r]``.
        mode: ``mean`` weighted by size, ``sum`` (for sizes themselves, as ``[B, N, 1]``), ``max`` of one value per
            token ``[B, N, 1]``, ``first`` the representative's entry. Untouched tokens are copied bit for bit in every
            mode.

    Raises:
        ValueError: if the mode is unknown or does not fit.
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
