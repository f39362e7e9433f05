"""What a target will make of a program, said before any export: each operation's placement, and the cuts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict
from torch import fx
from torch.fx.passes.infra.partitioner import CapabilityBasedPartitioner
from torch.fx.passes.operator_support import OperatorSupportBase

from edgetok.graph.nodes import op_name
from edgetok.lowering.lower import lower
from edgetok.precision import Scheme
from edgetok.target import Placement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

    from edgetok.graph.program import Program
    from edgetok.target import OpSupport, Target

MODEL = "model"
"""The maker of what no plugin inserted."""
FREE = frozenset({"getitem", "clone", "alias", "detach", "contiguous"})
"""Operations that no runtime executes."""


class OpForecast(BaseModel):
    """One kind of operation of one maker (the model, or a plugin) on one target."""

    model_config = ConfigDict(frozen=True)

    op: str
    maker: str
    count: int
    placement: Placement
    why: str = ""


class Forecast(BaseModel):
    """What one target makes of one program.

    ``partitions`` is how many pieces its native operations fall into; 1 is best. ``cuts`` counts the operations in
    between, by name.
    """

    model_config = ConfigDict(frozen=True)

    target: str
    ops: tuple[OpForecast, ...]
    partitions: int
    cuts: dict[str, int]
    source: str
    precision: Scheme | None = None
    """What the program will be quantised to. All of the above is said of it as it is before, in floating point."""

    def count(self, placement: Placement) -> int:
        """How many operations have this placement."""
        return sum(row.count for row in self.ops if row.placement == placement)

    @property
    def unsupported(self) -> tuple[OpForecast, ...]:
        """What stops an export."""
        return tuple(row for row in self.ops if row.placement == "unsupported")


def forecast(program: Program, target: Target, *, batch: int = 1) -> Forecast:
    """Lower a program for a target and look every operation up in the target's table.

    A scheme that the program declares is named and not applied: what a toolchain's quantiser cuts is not forecast.

    Raises:
        ExportFailed: the program cannot be lowered.
    """
    found = judge(lower(program, target, batch=batch).exported.graph_module, target)
    return found.model_copy(update={"precision": program.precision.scheme}) if program.precision else found


def forecasts(program: Program, targets: Sequence[Target], *, batch: int = 1) -> list[Forecast]:
    """The same for several targets; those that want the same realisations share one lowering.

    Raises:
        ExportFailed: the program cannot be lowered.
    """
    graphs: dict[str, fx.GraphModule] = {}
    found = []
    for target in targets:
        key = target.realisations.model_dump_json()
        if key not in graphs:
            graphs[key] = lower(program, target, batch=batch).exported.graph_module
        found.append(judge(graphs[key], target))
    return found


def judge(graph: fx.GraphModule, target: Target) -> Forecast:
    """What a target makes of a graph that was lowered for it."""
    rows: Counter[tuple[str, str]] = Counter()
    for node in operations(graph.graph):
        rows[op_name(node), maker(node)] += 1
    ops = [
        OpForecast(op=op, maker=who, count=n, placement=_placed(op, who, target.ops), why=target.ops.why.get(op, ""))
        for (op, who), n in sorted(rows.items())
    ]
    nodes = operations(graph.graph)
    outside = Counter(op_name(n) for n in nodes if _placed(op_name(n), maker(n), target.ops) != "native")
    return Forecast(
        target=target.name,
        ops=tuple(ops),
        partitions=count_partitions(graph, target.ops),
        cuts=dict(sorted(outside.items())),
        source=target.ops.source,
    )


def operations(graph: fx.Graph) -> list[fx.Node]:
    """The nodes that a runtime executes."""
    return [node for node in graph.nodes if node.op == "call_function" and op_name(node) not in FREE]


def maker(node: fx.Node) -> str:
    """The plugin that inserted a node, or ``model``."""
    return str(node.meta.get("custom", {}).get("edgetok", {}).get("plugin", MODEL))


def _placed(op: str, who: str, support: OpSupport) -> Placement:
    return support.placement(op, inserted=who != MODEL)


def count_partitions(graph: fx.GraphModule, support: OpSupport) -> int:
    """How many connected pieces the native operations of a graph fall into."""
    partitioner = CapabilityBasedPartitioner(graph, _Native(support), allows_single_node_partition=True)
    found = partitioner.propose_partitions()
    return sum(any(op_name(node) not in FREE for node in partition.nodes) for partition in found)


class _Native(OperatorSupportBase):
    def __init__(self, support: OpSupport) -> None:
        self.support = support

    def is_node_supported(self, submodules: Mapping[str, torch.nn.Module], node: fx.Node) -> bool:
        """Whether a node may be in a partition."""
        name = op_name(node)
        return node.op == "call_function" and (name in FREE or _placed(name, maker(node), self.support) == "native")
