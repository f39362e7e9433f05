"""FLOPs of a program, counted on its graph: two per multiply-accumulate, for one sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from edgetok.report.macs import macs, op_name, unknown
from edgetok.report.realised import realised_macs
from edgetok.report.regions import is_attention, lineage, regions
from edgetok.report.shapes import Shapes

if TYPE_CHECKING:
    from torch.fx import Node

    from edgetok.graph.program import Program
    from edgetok.target import Realisations

Category = Literal["embedding", "blocks", "head", "matching"]
LAYERS = frozenset({"aten.linear", "aten.addmm", "edgetok.packed_matmul"})
"""Layers besides convolutions and attention: never what a plugin inserted."""
CATEGORIES: tuple[Category, ...] = get_args(Category)


@dataclass(frozen=True)
class Flops:
    """FLOPs of one program.

    Args:
        categories: FLOPs by part: ``embedding`` (before the first block), ``blocks``, ``head`` (after the last
            block) and ``matching`` (all that plugins inserted: matching, merging, restoring).
        uncounted: operations that may multiply and have no rule, each named once.
        samples: the number of samples that were counted; more than one only where the program's batch is fixed.
    """

    categories: dict[Category, int]
    uncounted: tuple[str, ...] = ()
    samples: int = 1

    @property
    def total(self) -> int:
        """All FLOPs, inserted operations included."""
        return sum(self.categories.values())

    @property
    def paper_style(self) -> int:
        """FLOPs of the blocks alone, as papers on token reduction quote them."""
        return self.categories["blocks"]


def count_flops(program: Program, realisations: Realisations | None = None) -> Flops:
    """Count the FLOPs of a program: 2 x MACs of convolutions, linear layers, matrix products and attention.

    The batch symbol counts as 1 and any other symbol as in the example inputs. Masks do not lower the count of an
    attention. ``edgetok`` operations count as :mod:`edgetok.report.realised` says; where embedding and head end is
    in :mod:`edgetok.report.regions`.

    Args:
        program: a captured program, dense or rewritten, before lowering.
        realisations: what the target makes of the ``edgetok`` operations; sorting and gathering by default.
    """
    shapes = Shapes(program)
    nodes = list(program.exported.graph.nodes)
    work = {node: 2 * found for node in nodes if (found := _macs(node, shapes, realisations)) is not None}
    own = [node for node in work if not _inserted(node)]
    categories = dict.fromkeys(CATEGORIES, 0)
    for node, region in zip(own, regions(nodes, own, shapes), strict=True):
        categories[region] += work[node]
    categories["matching"] = sum(work.values()) - sum(categories.values())
    return Flops(categories, tuple(sorted({op_name(node) for node in nodes if unknown(node)})), shapes.samples)


def _inserted(node: Node) -> bool:
    """Work a plugin added: its own operations and bare matrix products, not the layers that it re-emitted."""
    name = op_name(node)
    layer = is_attention(node) or "conv" in name or name in LAYERS
    if name.startswith("edgetok.") and not layer:
        return True
    return bool(lineage(node, "plugin")) and not layer


def _macs(node: Node, shapes: Shapes, realisations: Realisations | None) -> int | None:
    own = op_name(node).startswith("edgetok.") and op_name(node) not in LAYERS
    if realisations is not None and own and _by_matmul(node, shapes, realisations):
        return realised_macs(node, shapes, realisations)
    return macs(node, shapes)


def _by_matmul(node: Node, shapes: Shapes, realisations: Realisations) -> bool:
    """Whether the target realises the node by matrix products, and not by sorting or moving entries."""
    if op_name(node) in {f"edgetok.{name}" for name in ("bipartite_match", "match_among", "rank_top", "select_top")}:
        return realisations.match == "sort-free"
    index = {"edgetok.restore": 1, "edgetok.reduce": 0, "edgetok.compose": 0}.get(op_name(node))
    tokens = int(str(node.args[3])) if index is None else shapes.of(node.args[index])[1]
    return realisations.reduce_for(tokens) == "one-hot"
