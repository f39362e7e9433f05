"""Repair by re-tracing: walk a labelled graph, reduce tokens at anchors, and let everything downstream follow.

No literal is searched for and no shape is patched. Every size argument is the product of the current sizes of its
axis' factors; operands that have an older version of a token space pass the maps to the newest one; where order or
position matters again the maps are inverted first (``edgetok.graph.repair`` says which operations those are).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, fx
from torch.fx import traceback as fx_traceback

from edgetok.errors import RepairFailed
from edgetok.graph import factors, repair
from edgetok.graph.arrange import Axes, Size
from edgetok.graph.dependence import attended, data_inputs, feature_nodes
from edgetok.graph.factors import Axis, Factor
from edgetok.graph.insertion import insert, open_scope
from edgetok.graph.nodes import op_name, operand
from edgetok.graph.normalise import placeholder_names, understand_masks
from edgetok.graph.scope import Finder
from edgetok.graph.site import Site, module_of
from edgetok.graph.space import Space
from edgetok.graph.state import SpaceState
from edgetok.graph.symbols import FIRST_PRIME
from edgetok.graph.transport import Value

if TYPE_CHECKING:
    from edgetok.graph.program import Program
    from edgetok.graph.scope import Scope
    from edgetok.plugin import TokenReduction


@dataclass(frozen=True)
class Step:
    """One reduction to insert: at ``site``, leaving ``keep`` tokens, by ``plugin``."""

    site: Site
    plugin: TokenReduction
    keep: int


class Retrace:
    """The structure of a program that every walk over it needs; ``run`` makes one walk."""

    def __init__(self, program: Program, steps: Sequence[Step]) -> None:
        self.program = program
        self.labels = program.labels
        self.masks = understand_masks(program)
        self.parameters = placeholder_names(program.exported)
        data = data_inputs(program.graph, program.placeholders.values())
        self.features = feature_nodes(program.graph, data)
        self.anchors: dict[fx.Node, list[Step]] = {}
        self.scopes: dict[fx.Node, tuple[Step, Scope]] = {}
        for step in steps:
            if step.plugin.extent != "onward":
                self._confine(step, -1 - len({scope.index for _, scope in self.scopes.values()}))
                continue
            assert step.site.anchor is not None, f"{step.site.name} has no place for a reduction"
            self.anchors.setdefault(step.site.anchor, []).append(step)
        spaces = {step.site.space.index: step.site.space for step in steps}
        self.streams = {index: self._stream(space) for index, space in spaces.items()}
        self.attended = {index: attended(program.graph, program.labels, space) for index, space in spaces.items()}

    def _confine(self, step: Step, index: int) -> None:
        found = Finder(step.site.space, self.labels, self.features).find(step.site.node, step.plugin.extent, index)
        assert not isinstance(found, str), f"{step.site.name} has no place for a reduction of its own: {found}"
        self.scopes.update(dict.fromkeys(found.inside, (step, found)))

    def _stream(self, space: Space) -> set[fx.Node]:
        """The residual stream of a space from its first anchor on: adds that lead from one to the next."""
        stream = {node for node, steps in self.anchors.items() if any(s.site.space is space for s in steps)}
        for node in self.program.graph.nodes:
            if op_name(node) == "add" and self._is_feature(node, space):
                inputs = [a for a in node.all_input_nodes if self._is_feature(a, space)]
                if len(inputs) == 2 and any(_trunk(a) in stream for a in inputs):
                    stream.add(node)
        return stream

    def _is_feature(self, node: fx.Node, space: Space) -> bool:
        return node in self.features and self.labels.has(node) and space.carried_by(self.labels.axes(node))

    def run(self, inputs: Mapping[str, Tensor], parameters: Callable[[str], Tensor]) -> list[Tensor]:
        """The program's outputs with the steps applied. ``parameters`` gives tensors by state-dict name."""
        walk = Walk(self, inputs, parameters)
        return walk.outputs()


_NORMS = frozenset({"layer_norm", "rms_norm", "_to_copy"})


def _trunk(node: fx.Node) -> fx.Node:
    """What a value on the residual stream is before the norms of a post-norm block."""
    while op_name(node) in _NORMS:
        node = operand(node)
    return node


def _from(node: fx.Node) -> AbstractContextManager[None]:
    """Nodes traced within it say which node of the captured program they are or belong to."""
    return fx_traceback.annotate({"edgetok": {"module": module_of(node), "origin": node.name}})


def _inserted(step: Step) -> AbstractContextManager[None]:
    """Nodes traced within it say which plugin made them, and where."""
    return fx_traceback.annotate(
        {"edgetok": {"module": step.site.name, "plugin": step.plugin.name, "site": step.site.name}}
    )


class Walk:
    """One walk over the graph: values by node, and the state of every space."""

    def __init__(self, plan: Retrace, inputs: Mapping[str, Tensor], parameters: Callable[[str], Tensor]) -> None:
        self.plan = plan
        self.labels = plan.labels
        self.inputs = {plan.program.placeholders[name]: tensor for name, tensor in inputs.items()}
        self.parameters = parameters
        self.values: dict[fx.Node, Any] = {}
        self.symbols: dict[int, Size] = {}
        self.states: dict[int, SpaceState] = {}
        self.advanced: dict[tuple[Any, ...], Value] = {}
        self.wholes: dict[tuple[fx.Node, frozenset[int]], Value] = {}

    def outputs(self) -> list[Tensor]:
        """Walk, and return the outputs restored to the order and number of tokens they had."""
        for node in self.plan.program.graph.nodes:
            if node.op == "output":
                return [self._output(a) for a in self.plan.program.results]
            with _from(node):
                self.values[node] = self._visit(node)
            for step in self.plan.anchors.get(node, ()):
                with _inserted(step):
                    self.values[node] = insert(self, step, node)
        raise AssertionError("a graph ends with its output")

    def _visit(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            return self._placeholder(node)
        if self.is_item(node):
            return self.values[operand(node)][node.args[1]]
        if not callable(node.target):
            raise RepairFailed(
                f"The program runs a sub-graph ({node.name}).",
                why="control flow and other higher-order operations cannot be followed",
                hint="Capture the model without torch.cond and the like.",
            )
        if not self.labels.outputs(node):
            return node.target(*self._plain(node.args), **self._plain(dict(node.kwargs)))
        return repair.visit(self, node)

    def opened(self, node: fx.Node) -> SpaceState | None:
        """The state of the confined reduction that a node runs within; it is made when it is first asked for."""
        if node not in self.plan.scopes:
            return None
        step, scope = self.plan.scopes[node]
        if scope.index not in self.states:
            with _inserted(step):
                self.states[scope.index] = open_scope(self, step, scope)
        return self.states[scope.index]

    def is_item(self, node: fx.Node) -> bool:
        """Whether a node picks one of several outputs."""
        return node.target is operator.getitem

    def _placeholder(self, node: fx.Node) -> Value:
        name = self.plan.parameters.get(node.name)
        if name is not None:
            return Value(self.parameters(name), self.labels.axes(node))
        tensor = self.inputs[node.name]
        for given, now in zip(self.labels.symbols.sizes(node.meta["val"].shape), tensor.shape, strict=True):
            if self.labels.symbols.is_symbolic(given):
                known = self.symbols.setdefault(given, now)
                assert now == known, f"{node.name} has {now} where other inputs have {known}"
        return Value(tensor, self.labels.axes(node))

    def _output(self, node: fx.Node) -> Tensor:
        value: Value = self.values[node]
        with _from(node):
            return repair.whole(self, node, frozenset(value.versions)).tensor

    def _plain(self, args: Any) -> Any:
        """Arguments with nodes replaced by their tensors or numbers, as they are."""
        return fx.map_arg(args, lambda a: self.tensor(self.values[a]))

    @staticmethod
    def tensor(value: Any) -> Any:
        """The tensor of a value; several outputs and plain numbers as they are."""
        return value.tensor if isinstance(value, Value) else value

    def carried(self, axes: Axes) -> list[SpaceState]:
        """The spaces, already reduced somewhere, that axes carry."""
        return [s for s in self.states.values() if s.space.carried_by(axes)]

    def shape(self, axes: Axes, versions: Mapping[int, int]) -> list[Size]:
        """The current shape of a value."""
        return [self.measure(axis, versions) for axis in axes]

    def measure(self, axis: Axis, versions: Mapping[int, int] | None = None) -> Size:
        """The current size of an axis of a value with these versions.

        Raises:
            RepairFailed: the axis has a symbolic size that is no product of sizes of inputs.
        """
        out: Size = 1
        covered: set[int] = set()
        for index, version in (versions or {}).items():
            state = self.states[index]
            for where in state.space.occurrences((axis,)):
                out = out * state.tokens(where, version)
                covered |= set(range(where.start, where.stop))
        for k, factor in enumerate(axis):
            if k not in covered:
                out = out * self._factor(factor)
        return out

    def _factor(self, factor: Factor) -> Size:
        number, primes = self.labels.symbols.factor(factor.size)
        pieces = factors.leaves((factor,))
        if number < FIRST_PRIME and set(primes) <= set(self.symbols):
            out: Size = number
            for prime in primes:
                out = out * self.symbols[prime]
            return out
        if len(pieces) > 1:
            return sum((self.measure(piece) for piece in pieces), start=0)
        raise RepairFailed(
            f"The size of {factor.origin} is not known while re-tracing.",
            why="it is symbolic and no product of sizes of inputs",
            hint="Capture the model with a fixed batch.",
        )


__all__ = ["Retrace", "Step", "Value", "Walk"]
