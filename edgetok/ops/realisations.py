"""Which implementation a target gets: tables for ``ExportedProgram.run_decompositions``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch._ops import OpOverload

from edgetok.ops import packed, register
from edgetok.ops.among import sort_among, sort_free_among
from edgetok.ops.match import sort_free_match, sort_match
from edgetok.ops.reduce import gather_reduce, one_hot_reduce
from edgetok.ops.restore import (
    gather_compose,
    gather_destinations,
    gather_restore,
    one_hot_compose,
    one_hot_destinations,
    one_hot_restore,
)
from edgetok.ops.select import sort_free_rank, sort_free_select, sort_rank, sort_select
from edgetok.target import Realisations

Implementation = Callable[..., Any]

MATCH: dict[str, Implementation] = {"sort": sort_match, "sort-free": sort_free_match}
SELECT: dict[str, Implementation] = {"sort": sort_select, "sort-free": sort_free_select}
RANK: dict[str, Implementation] = {"sort": sort_rank, "sort-free": sort_free_rank}
AMONG: dict[str, Implementation] = {"sort": sort_among, "sort-free": sort_free_among}
DECISIONS = {
    register.BIPARTITE_MATCH: MATCH,
    register.SELECT_TOP: SELECT,
    register.RANK_TOP: RANK,
    register.MATCH_AMONG: AMONG,
}
REDUCE: dict[str, Implementation] = {"gather": gather_reduce, "one-hot": one_hot_reduce}
RESTORE: dict[str, Implementation] = {"gather": gather_restore, "one-hot": one_hot_restore}
DESTINATIONS: dict[str, Implementation] = {"gather": gather_destinations, "one-hot": one_hot_destinations}
COMPOSE: dict[str, Implementation] = {"gather": gather_compose, "one-hot": one_hot_compose}


def decompositions(realisations: Realisations, *, dtype: torch.dtype | None = None) -> dict[OpOverload, Implementation]:
    """Every ``edgetok::`` primitive as plain aten operations, in the realisation a target prefers.

    ``reduce``, ``restore``, ``destinations`` and ``compose`` choose per call by the number of old tokens. Realisations
    may be mixed: each reads ids carried as int64 or as integer-valued floats.

    Args:
        realisations: the target's preference.
        dtype: the dtype that will compute the graph, where it is converted after this.
    """

    def by_tokens(table: dict[str, Implementation], tokens: Callable[..., int]) -> Implementation:
        return lambda *args: table[realisations.reduce_for(tokens(*args))](*args)

    decisions = {op: table[realisations.match] for op, table in DECISIONS.items()}
    if realisations.match == "sort-free":
        decisions = {op: partial(function, dtype=dtype) for op, function in decisions.items()}
    return {
        **decisions,
        register.REDUCE: by_tokens(REDUCE, lambda x, *_: int(x.shape[1])),
        register.DESTINATIONS: by_tokens(DESTINATIONS, lambda keep, src, dst, n: int(n)),
        register.RESTORE: by_tokens(RESTORE, lambda y, dest, dropped: int(dest.shape[1])),
        register.COMPOSE: by_tokens(COMPOSE, lambda first, second: int(first.shape[1])),
        packed.PACKED_MATMUL: packed.unpacked_matmul,
    }
