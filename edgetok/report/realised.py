"""MACs of the ``edgetok`` operations, in the realisation that a target gets.

By sorting and gathering (the default): a match is ``N_a * N_b * d``, every unprotected even token against every odd
one, or every source given against every target (two more channels with sizes, which tell padding apart); a reduction is
one MAC per merged value (r * C); moving entries costs none. By matrix products (``sort-free``, ``one-hot``): what the
realisation itself multiplies.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, cast

from edgetok.report.macs import register_macs

if TYPE_CHECKING:
    from torch.fx import Node

    from edgetok.report.shapes import Shapes
    from edgetok.target import Realisations


def realised_macs(node: Node, shapes: Shapes, realisations: Realisations) -> int:
    """MACs of the matrix products that a realisation runs, found by running it on tensors without data."""
    from torch.utils.flop_counter import FlopCounterMode

    from edgetok.ops.realisations import decompositions

    implementation = decompositions(realisations)[cast(Any, node.target)]
    with FlopCounterMode(display=False) as counter:
        implementation(*(_empty(argument, shapes) for argument in node.args))
    return int(counter.get_total_flops()) // 2


def _empty(argument: Any, shapes: Shapes) -> Any:
    """A tensor without data, of the argument's shape and dtype; what is no node is passed on."""
    import torch

    if not hasattr(argument, "meta"):
        return argument
    return torch.empty(shapes.of(argument), dtype=argument.meta["val"].dtype, device="meta")


@register_macs("edgetok.bipartite_match")
def _match(node: Node, shapes: Shapes) -> int:
    metric, sizes, _, protected = node.args[:4]
    batch, tokens, width = shapes.of(metric)
    first = int(str(protected))
    evens, odds = len(range(first + first % 2, tokens, 2)), len(range(first + 1 - first % 2, tokens, 2))
    return batch * evens * odds * (width + (2 if sizes is not None else 0))


@register_macs("edgetok.match_among")
def _match_among(node: Node, shapes: Shapes) -> int:
    metric, sizes, sources, targets = node.args[:4]
    (batch, _, width), links = shapes.of(metric), shapes.of(sources)[1] * shapes.of(targets)[1]
    return batch * links * (width + (2 if sizes is not None else 0))


@register_macs("edgetok.reduce")
def _reduce(node: Node, shapes: Shapes) -> int:
    merged = 0 if node.args[5] == "first" else prod(shapes.of(node.args[3]))
    return merged * shapes.of(node.args[0])[-1]


@register_macs("edgetok.restore", "edgetok.select_top", "edgetok.rank_top", "edgetok.destinations", "edgetok.compose")
def _moves(node: Node, shapes: Shapes) -> int:
    return 0
