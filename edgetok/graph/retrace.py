"""Repair by re-tracing: walk a labelled graph, reduce tokens at anchors, and let everything downstream follow.

No literal is searched for and no shape is patched. Every size argument is the product of the current sizes of its
axis' factors; operands that have an older version of a token space pass the maps to the newest one; where order or
position matters again the maps are inverted first (``edgetok.graph.repair`` says which operations those are).
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx, nn
from torch.fx import traceback as fx_traceback

from edgetok.errors import PluginFailed, RepairFailed
from edgetok.graph import repair
from edgetok.graph.arrange import Axes, Size, Unplaceable, arrange, give_batch, has_batch
from edgetok.graph.dependence import data_inputs, feature_nodes
from edgetok.graph.factors import Axis
from edgetok.graph.labels import op_name
from edgetok.graph.normalise import understand_masks
from edgetok.graph.signals import Signals
from edgetok.graph.site import Site, module_of
from edgetok.graph.space import Occurrence, Space
from edgetok.graph.state import SpaceState, Version
from edgetok.graph.tokens import TokenMap

if TYPE_CHECKING:
    from edgetok.graph.program import Program
    from edgetok.plugin import TokenReduction


@dataclass(frozen=True)
class Step:
    """One reduction to insert: at ``site``, leaving ``keep`` tokens, by ``plugin``."""

    site: Site
    plugin: TokenReduction
    keep: int


@dataclass(frozen=True)
class Value:
    """A tensor while re-tracing: its axes now, and the version of each token space it carries."""

    tensor: Tensor
    axes: Axes
    versions: Mapping[int, int] = field(default_factory=dict)


class Retrace:
    """The structure of a program that every walk over it needs; ``run`` makes one walk."""

    def __init__(self, program: Program, steps: Sequence[Step]) -> None:
        self.program = program
        self.labels = program.labels
        self.steps = list(steps)
        self.masks = understand_masks(program)
        data = data_inputs(program.graph, program.placeholders.values())
        self.features = feature_nodes(program.graph, data)
        self.spaces: dict[int, Space] = {s.site.space.index: s.site.space for s in steps}
        self.anchors: dict[fx.Node, list[Step]] = {}
        for step in steps:
            assert step.site.anchor is not None
            self.anchors.setdefault(step.site.anchor, []).append(step)
        self.exits = {space.index: repair.exit_of(self, space) for space in self.spaces.values()}

    def run(self, inputs: Mapping[str, Tensor], parameters: Callable[[str], Tensor]) -> list[Tensor]:
        """The program's outputs with the steps applied. ``parameters`` gives tensors by state-dict name."""
        walk = Walk(self, inputs, parameters)
        return walk.outputs()


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
        self._advanced: dict[tuple[fx.Node, int, int, int], Value] = {}

    def outputs(self) -> list[Tensor]:
        """Walk, and return the outputs restored to the order and number of tokens they had."""
        for node in self.plan.program.graph.nodes:
            if node.op == "output":
                return [self._output(a) for a in node.args[0]]
            with fx_traceback.annotate({"edgetok": {"module": module_of(node), "origin": node.name}}):
                self.values[node] = self._visit(node)
            for step in self.plan.anchors.get(node, ()):
                with fx_traceback.annotate({"edgetok": self._lineage(step)}):
                    self.values[node] = self._reduce(step, node)
            if any(exit_ is node for exit_ in self.plan.exits.values()):
                self.values[node] = self._exit(node)
        raise AssertionError("a graph ends with its output")

    @staticmethod
    def _lineage(step: Step) -> dict[str, str]:
        return {"module": step.site.name, "plugin": step.plugin.name, "site": step.site.name}

    def _visit(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            return self._placeholder(node)
        if node.target is operator.getitem:
            return self.values[node.args[0]][node.args[1]]  # type: ignore[index]
        if not self.labels.outputs(node):
            return node.target(*self._plain(node.args), **self._plain(dict(node.kwargs)))  # type: ignore[operator]
        return repair.visit(self, node)

    def _placeholder(self, node: fx.Node) -> Any:
        signature = self.plan.program.exported.graph_signature
        names = {
            **signature.inputs_to_parameters,
            **signature.inputs_to_buffers,
            **signature.inputs_to_lifted_tensor_constants,
        }
        if node.name in names:
            return self._value(node, self.parameters(names[node.name]))
        tensor = self.inputs[node.name]
        for given, now in zip(self.labels.symbols.sizes(node.meta["val"].shape), tensor.shape, strict=True):
            if self.labels.symbols.is_symbolic(given):
                self.symbols[given] = now
        return self._value(node, tensor)

    def _value(self, node: fx.Node, tensor: Tensor, versions: Mapping[int, int] | None = None) -> Value:
        return Value(tensor, self.labels.axes(node), versions or {})

    def _plain(self, args: Any) -> Any:
        """Arguments with nodes replaced by their tensors or numbers, as they are."""
        return fx.map_arg(args, lambda a: self.tensor(self.values[a]))

    @staticmethod
    def tensor(value: Any) -> Any:
        """The tensor of a value; several outputs and plain numbers as they are."""
        return value.tensor if isinstance(value, Value) else value

    def measure(self, axis: Axis, versions: Mapping[int, int] | None = None) -> Size:
        """The current size of an axis of a value with these versions."""
        out: Size = 1
        covered: set[int] = set()
        for index, version in (versions or {}).items():
            state = self.states[index]
            for where in state.space.occurrences((axis,)):
                out = out * state.tokens(where, version)
                covered |= set(range(where.start, where.stop))
        for k, factor in enumerate(axis):
            if k not in covered:
                out = out * self.symbols.get(factor.size, factor.size)
        return out

    def shape(self, axes: Axes, versions: Mapping[int, int]) -> list[Size]:
        """The current shape of a value."""
        return [self.measure(axis, versions) for axis in axes]

    def carried(self, axes: Axes) -> list[SpaceState]:
        """The spaces, already reduced somewhere, that axes carry."""
        return [s for s in self.states.values() if s.space.carried_by(axes)]

    def advance(self, node: fx.Node, to: Mapping[int, int], consumer: Axes, how: str | None = None) -> Value:
        """A node's value at newer versions of the spaces it carries."""
        value: Value = self.values[node]
        for state in self.carried(value.axes):
            index = state.space.index
            for version in range(value.versions.get(index, 0) + 1, to.get(index, 0) + 1):
                key = (node, index, version, len(consumer))
                if key not in self._advanced:
                    self._advanced[key] = self._step(value, state, version, consumer, how or self._how(node))
                value = self._advanced[key]
        return value

    def _how(self, node: fx.Node) -> str:
        floating = self.values[node].tensor.is_floating_point()
        return "mean" if floating and node in self.plan.features else "first"

    def _step(self, value: Value, state: SpaceState, version: int, consumer: Axes, how: str) -> Value:
        index = state.space.index
        if not has_batch(value.axes, state.batch):
            value = self._with_batch(value, state, consumer)
        for k in range(len(state.space.occurrences(value.axes))):
            where = state.space.occurrences(value.axes)[k]
            token_map, weights = state.map_for(where, version), state.weights_for(where, version - 1)
            value = self._mapped(
                value, state, where, version - 1,
                lambda x, m=token_map, w=weights: m.reduce(x, w if how == "mean" else None, how),  # type: ignore[misc]
            )  # fmt: skip
        return Value(value.tensor, value.axes, {**value.versions, index: version})

    def _with_batch(self, value: Value, state: SpaceState, consumer: Axes) -> Value:
        try:
            tensor, axes = give_batch(value.tensor, value.axes, consumer, state.batch, self.measure(state.batch))
        except Unplaceable:
            raise RepairFailed(
                "A table without a batch axis cannot follow the tokens of each sample.",
                why=f"it has axes {value.axes} and meets {consumer}, where the batch is folded into another axis",
                hint="Exclude this site, or report the model: its layout is not supported yet.",
            ) from None
        return Value(tensor, axes, value.versions)

    def _mapped(
        self, value: Value, state: SpaceState, where: Occurrence, version: int, function: Callable[[Tensor], Tensor]
    ) -> Value:
        versions = {k: v for k, v in value.versions.items() if k != state.space.index}
        placed = arrange(
            value.tensor.shape, value.axes, where, state.batch, lambda a: self.measure(a, versions), state.tokens(where, version)
        )
        return Value(placed.apply(value.tensor, function), value.axes, value.versions)

    def restore(self, value: Value, index: int) -> Value:
        """A value with all the original tokens of a space."""
        state = self.states[index]
        version = value.versions.get(index, 0)
        for where in state.space.occurrences(value.axes) if version else []:
            start, stop = state.start(where), state.start(where) + state.tokens(where, 0)
            dest = state.destinations(version)
            whole = (start, stop) == (0, state.versions[0].tokens)
            inside = dest if whole else (dest[:, start:stop] - start).clamp_min(-1)
            value = self._mapped(
                value, state, where, version,
                lambda y, d=inside: torch.ops.edgetok.restore(y, d, None),  # type: ignore[misc]
            )  # fmt: skip
        return Value(value.tensor, value.axes, {k: v for k, v in value.versions.items() if k != index})

    def _output(self, arg: Any) -> Any:
        if not isinstance(arg, fx.Node) or not isinstance(self.values[arg], Value):
            return self.tensor(self.values[arg]) if isinstance(arg, fx.Node) else arg
        value = self.values[arg]
        for index in list(value.versions):
            value = self.restore(value, index)
        return value.tensor

    def _reduce(self, step: Step, node: fx.Node) -> Value:
        """Apply one step to the value of its anchor."""
        value: Value = self.values[node]
        state = self._state(step)
        (where,) = state.space.occurrences(value.axes)
        signals = self._signals(step, state, value, where)
        token_map = self._ask(step, signals)
        state.push(token_map.followed_by(signals.tokens, state.space.trailing), self._plain_tokens(value, state, where), step.keep)
        self.values[node] = value
        return self._step(value, state, state.now, value.axes, "mean")

    def _state(self, step: Step) -> SpaceState:
        index = step.site.space.index
        if index not in self.states:
            padding = next((m for n, m in self.plan.masks.items() if n is step.site.node and m.kind == "padding"), None)
            first = Version(step.site.space.sizes)
            if padding is not None:
                marks = self.values[self._node(padding.source)].tensor
                first.weights = (marks != 0).to(self.values[step.site.anchor].tensor.dtype)  # type: ignore[index]
            self.states[index] = SpaceState(
                step.site.space, step.site.batch, padding is not None, step.plugin.proportional, [first]
            )
        return self.states[index]

    def _node(self, name: str) -> fx.Node:
        return next(n for n in self.values if n.name == name)

    def _plain_tokens(self, value: Value, state: SpaceState, where: Occurrence) -> Tensor:
        """A value as ``(batch, tokens, rest)``."""
        taken: list[Tensor] = []

        def take(x: Tensor) -> Tensor:
            taken.append(x)
            return x

        self._mapped(value, state, where, state.now, take)
        return taken[0]

    def _signals(self, step: Step, state: SpaceState, value: Value, where: Occurrence) -> Signals:
        space = state.space
        tokens = state.versions[-1].tokens - space.trailing
        operands = dict(zip(("query", "key", "value"), step.site.node.args[:3], strict=True))

        def heads(which: str) -> Tensor:
            node: fx.Node = operands[which]  # type: ignore[assignment]
            held = self.advance(node, {space.index: state.now}, self.labels.axes(node))
            (at,) = space.occurrences(held.axes[-2:-1])
            flat = self._plain_tokens(held, state, Occurrence(len(held.axes) - 2, at.start, at.stop, at.first, at.last))
            d = held.tensor.shape[-1]
            return flat.reshape(flat.shape[0], flat.shape[1], -1, d).transpose(1, 2)[:, :, :tokens]

        weights = state.versions[-1].weights
        return Signals(
            site=step.site,
            hidden=self._plain_tokens(value, state, where)[:, :tokens],
            sizes=None if weights is None else weights[:, :tokens],
            tokens=tokens,
            protected=space.protected,
            padded=state.padded,
            _heads=heads,
        )

    @staticmethod
    def _ask(step: Step, signals: Signals) -> TokenMap:
        keep = step.keep - step.site.space.trailing
        try:
            token_map = step.plugin.reduce(signals, keep)
        except Exception as error:
            raise PluginFailed(
                f"Plugin {step.plugin.name!r} failed at {step.site.name}.",
                why=f"{type(error).__name__}: {error}",
                hint=f"This is a bug in the plugin, or {step.plugin.options()} does not suit the model.",
            ) from error
        if token_map.keep.shape[1] != keep:
            raise PluginFailed(
                f"Plugin {step.plugin.name!r} left {token_map.keep.shape[1]} tokens at {step.site.name}.",
                why=f"its plan said {keep}",
                hint="keep() and reduce() of a plugin must agree on the number of tokens.",
            )
        return token_map

    def _exit(self, node: fx.Node) -> Value:
        """Give dropped tokens back, with their value when dropped, where the residual stream ends."""
        value: Value = self.values[node]
        for index, exit_ in self.plan.exits.items():
            state = self.states.get(index)
            if exit_ is node and state is not None and state.drops and repair.needs_all_tokens(self.plan, node, state.space):
                value = self._refill(value, state)
        return value

    def _refill(self, value: Value, state: SpaceState) -> Value:
        index = state.space.index
        for version in range(value.versions.get(index, 0), 0, -1):
            (where,) = state.space.occurrences(value.axes)
            held, before = state.versions[version], state.versions[version - 1]
            assert held.map is not None
            dest = held.map.destinations(before.tokens)
            value = self._mapped(
                value, state, where, version,
                lambda y, d=dest, r=held.residual: torch.ops.edgetok.restore(y, d, r),  # type: ignore[misc]
            )  # fmt: skip
            value = Value(value.tensor, value.axes, {**value.versions, index: version - 1})
        return Value(value.tensor, value.axes, {k: v for k, v in value.versions.items() if k != index})


class Retraced(nn.Module):
    """A module whose forward is a walk; its parameters and buffers have the state-dict names of the program."""

    def __init__(self, plan: Retrace) -> None:
        super().__init__()
        self._plan = [plan]
        exported = plan.program.exported
        for name, tensor in {**exported.state_dict, **exported.constants}.items():
            if isinstance(tensor, Tensor):
                _attach(self, name, tensor, persistent=name in exported.state_dict)
        self.forward = self._forward()

    def _forward(self) -> Callable[..., tuple[Tensor, ...]]:
        """A forward whose signature names the program's inputs, as ``torch.export`` wants it."""
        plan = self._plan[0]

        def forward(**inputs: Tensor) -> tuple[Tensor, ...]:
            return tuple(plan.run(inputs, lambda name: _find(self, name)))

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [inspect.Parameter(spec.name, kind) for spec in plan.program.inputs]
        forward.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return forward


def _attach(root: nn.Module, name: str, tensor: Tensor, *, persistent: bool) -> None:
    *path, leaf = name.split(".")
    for part in path:
        if part not in root._modules:
            root.add_module(part, nn.Module())
        root = root._modules[part]  # type: ignore[assignment]
    if isinstance(tensor, nn.Parameter):
        root.register_parameter(leaf, tensor)
    else:
        root.register_buffer(leaf, tensor, persistent=persistent)


def _find(root: nn.Module, name: str) -> Tensor:
    return operator.attrgetter(name)(root)  # type: ignore[no-any-return]


__all__ = ["Retrace", "Retraced", "Step", "Value", "Walk"]
