"""The reference: a program in torch eager, a runtime's decisions put in place of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.export.graph_signature import InputKind, OutputKind
from torch.fx import GraphModule, Interpreter, Node
from torch.fx.node import map_arg

from edgetok.errors import BadInputs
from edgetok.ops.decisions import DECISION_OPS, choice_of, gap, outputs_of, same

if TYPE_CHECKING:
    from edgetok.graph.program import Program

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Judgement:
    """One decision node on one batch: what the runtime's choice is worth, per sample ``[B]``."""

    node: str
    same: np.ndarray
    gap: np.ndarray
    own: np.ndarray | None = None
    """The score given away by the runtime's own scores, where those are known."""


@dataclass(frozen=True)
class Replayed:
    """One batch through the reference."""

    outputs: dict[str, np.ndarray]
    values: dict[str, np.ndarray]
    """The nodes that were asked for."""
    judgements: tuple[Judgement, ...]


def decision_nodes(program: Program) -> list[Node]:
    """The nodes of a program whose outputs are decisions, in graph order."""
    return [node for node in program.exported.graph.nodes if node.target in DECISION_OPS]


class Replay(Interpreter):
    """Runs a graph; at each decision judges the runtime's and goes on with it.

    Args:
        module: the graph module of an exported program.
        decisions: a runtime's decision (all outputs) by node name; a node that is not named decides for itself.
        watch: names of nodes whose values to keep.
        scores: what the runtime's decisions were made on, by node name; they are judged by these as well.
    """

    def __init__(
        self,
        module: GraphModule,
        decisions: Mapping[str, Sequence[Tensor]],
        watch: Sequence[str],
        scores: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__(module)
        self.decisions, self.watch, self.scores = decisions, frozenset(watch), scores or {}
        self.values: dict[str, np.ndarray] = {}
        self.judgements: list[Judgement] = []

    def run_node(self, n: Node) -> Any:
        """One node, replaced by the runtime's decision where there is one."""
        value = super().run_node(n)
        if n.name in self.decisions:
            value = self._judge(n, value)
        if n.name in self.watch:
            self.values[n.name] = value.numpy(force=True)
        return value

    def _judge(self, n: Node, own: Any) -> Any:
        """Judge the runtime's decision; samples where it is no valid one go on with the reference's own."""
        single = isinstance(own, Tensor)
        op: Any = n.target
        mine = choice_of(op, (own,) if single else tuple(own))
        theirs = choice_of(op, self.decisions[n.name])
        args = positional(n, *self.fetch_args_kwargs_from_env(n))
        cost = gap(op, args, theirs)
        valid = torch.isfinite(cost)
        fits = [t.shape == m.shape for t, m in zip(theirs, mine, strict=True)]
        alike = same(op, theirs, mine) if all(fits) else torch.zeros_like(valid)
        own_cost = self._own_cost(n, theirs)
        self.judgements.append(Judgement(n.name, alike.numpy(), cost.double().numpy(), own_cost))
        if not all(fits):
            return own
        used = [torch.where(valid.view(-1, *[1] * (m.dim() - 1)), t, m) for t, m in zip(theirs, mine, strict=True)]
        outputs = outputs_of(op, args, tuple(used))
        return outputs[0] if single else outputs

    def _own_cost(self, n: Node, theirs: tuple[Tensor, ...]) -> np.ndarray | None:
        """What the runtime's decision gives away by the runtime's own scores; None where they are not known."""
        if not any(node.name in self.scores for node in n.all_input_nodes):
            return None
        args, kwargs = map_arg((n.args, n.kwargs), self._as_scored)
        op: Any = n.target
        return gap(op, positional(n, args, kwargs), theirs).double().numpy()

    def _as_scored(self, node: Node) -> Any:
        given = self.env[node]
        return self.scores[node.name].to(given.dtype) if node.name in self.scores else given


def positional(node: Node, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
    """All arguments of an operator in the order of its schema, defaults filled in."""
    schema = node.target._schema.arguments  # type: ignore[union-attr]
    rest = [kwargs.get(a.name, a.default_value) for a in schema[len(args) :]]
    return (*args, *rest)


def flat_inputs(program: Program, inputs: Arrays) -> list[Tensor]:
    """The graph's placeholders in order: weights and constants from the program, the rest from ``inputs``.

    Inputs are cast to the program's dtypes: a file may take them in half precision.

    Raises:
        BadInputs: if an input is missing.
    """
    missing = [spec.name for spec in program.inputs if spec.name not in inputs]
    if missing:
        raise BadInputs(
            f"The program {program.name!r} needs the input {missing[0]!r}.",
            why=f"given: {', '.join(inputs) or 'none'}; needed: {', '.join(spec.name for spec in program.inputs)}",
            hint="Give one array per input, by name.",
        )
    exported, specs = program.exported, iter(program.inputs)
    tensors: list[Tensor] = []
    for spec in exported.graph_signature.input_specs:
        if spec.kind == InputKind.USER_INPUT:
            given = next(specs)
            tensors.append(torch.from_numpy(np.array(inputs[given.name], dtype=given.dtype)))
        else:
            stored = exported.state_dict if spec.target in exported.state_dict else exported.constants
            tensors.append(stored[spec.target])
    return tensors


def replay(
    program: Program,
    inputs: Arrays,
    decisions: Mapping[str, Sequence[np.ndarray]],
    watch: Sequence[str] = (),
    scores: Mapping[str, np.ndarray] | None = None,
) -> Replayed:
    """Run the program in torch eager with a runtime's decisions.

    Args:
        program: functional, with weights.
        inputs: one array per input of the program.
        decisions: by name of the decision node, all of its outputs; empty to let the reference decide.
        watch: names of tensor-valued nodes whose values are returned.
        scores: what the runtime's decisions were made on, by name of the node that computes it.
    """
    own = {name: torch.from_numpy(np.array(value)) for name, value in (scores or {}).items()}
    tensors = {name: [torch.from_numpy(np.array(part)) for part in parts] for name, parts in decisions.items()}
    interpreter = Replay(program.exported.graph_module, tensors, watch, own)
    with torch.no_grad():
        results = interpreter.run(*flat_inputs(program, inputs))
    kinds = [spec.kind for spec in program.exported.graph_signature.output_specs]
    values = [value for value, kind in zip(results, kinds, strict=True) if kind == OutputKind.USER_OUTPUT]
    outputs = {spec.name: value.numpy(force=True) for spec, value in zip(program.outputs, values, strict=True)}
    return Replayed(outputs, interpreter.values, tuple(interpreter.judgements))
