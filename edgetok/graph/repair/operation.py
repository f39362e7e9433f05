"""One operation while re-tracing: its operands at the same version, and its result checked against its labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx

from edgetok.errors import RepairFailed
from edgetok.graph.arrange import Axes, Size
from edgetok.graph.nodes import argument, op_name, positive
from edgetok.graph.transport import Value, advance

if TYPE_CHECKING:
    from edgetok.graph.retrace import Walk


@dataclass(frozen=True)
class Operation:
    """An operation about to run.

    Attributes:
        walk: the walk it is part of.
        node: its node in the labelled graph.
        values: its tensor operands; where it needs all original tokens of a space they are back already.
        entered: versions that operands are taken to where a confined reduction goes in.
    """

    walk: Walk
    node: fx.Node
    values: Mapping[fx.Node, Value]
    entered: Mapping[int, int] = field(default_factory=dict)

    @cached_property
    def versions(self) -> dict[int, int]:
        """The newest version of every space among the operands: that of the result."""
        newest = dict(self.entered)
        for value in self.values.values():
            for index, version in value.versions.items():
                newest[index] = max(version, newest.get(index, 0))
        return newest

    @property
    def consumer(self) -> Axes:
        """The axes that operands are aligned with from the right."""
        axes = self.walk.labels.outputs(self.node)[0]
        if op_name(self.node) == "stack":
            dim = positive(argument(self.node, 1, "dim", 0), len(axes))
            return (*axes[:dim], *axes[dim + 1 :])
        return axes

    @cached_property
    def asked(self) -> dict[int, int]:
        """The versions that queries have: not those of reductions that are confined to keys."""
        return {index: v for index, v in self.versions.items() if not self.walk.states[index].of_keys}

    def value(
        self,
        source: fx.Node,
        consumer: Axes | None = None,
        how: str | None = None,
        versions: Mapping[int, int] | None = None,
    ) -> Value:
        """An operand at the version of the result, or at others."""
        aligned, to = self.consumer if consumer is None else consumer, self.versions if versions is None else versions
        return advance(self.walk, source, self.values[source], to, aligned, how)

    def tensor(self, source: fx.Node, consumer: Axes | None = None, how: str | None = None) -> Tensor:
        """The tensor of an operand at the version of the result."""
        return self.value(source, consumer, how).tensor

    def arguments(self, args: Any, replace: Callable[[fx.Node], Any] | None = None) -> Any:
        """Arguments with nodes replaced: operands by tensors at the version of the result."""
        tensor = replace or self.tensor
        walk = self.walk
        return fx.map_arg(args, lambda a: tensor(a) if a in self.values else walk.tensor(walk.values[a]))

    def plain(self) -> Any:
        """Run it as it is."""
        assert callable(self.node.target)
        return self.result(self.node.target(*self.arguments(self.node.args), **self.arguments(dict(self.node.kwargs))))

    def result(self, out: Any, versions: Mapping[int, int] | None = None) -> Any:
        """What the operation returned as ``Value``s, with the axes that the labels say.

        Raises:
            RepairFailed: a size is not what the labels say.
        """
        newest = self.versions if versions is None else versions
        outputs, given = self.walk.labels.outputs(self.node), self.node.meta["val"]
        if isinstance(out, Tensor):
            return self._labelled(out, outputs[0], given, newest)
        return [self._labelled(*entry, newest) for entry in zip(out, outputs, given, strict=True)]

    def _labelled(self, out: Tensor, axes: Axes, given: Tensor, newest: Mapping[int, int]) -> Value:
        states = self.walk.states
        versions = {i: v for i, v in newest.items() if states[i].space.carried_by(axes)}
        before: Sequence[Size] = given.shape
        for now, axis, captured in zip(out.shape, axes, before, strict=True):
            if not versions and isinstance(captured, torch.SymInt):
                continue
            wanted = self.walk.measure(axis, versions) if versions else captured
            if not _same(now, wanted):
                raise RepairFailed(
                    f"{self.node.name!r} did not follow its tokens.",
                    why=f"it has shape {tuple(out.shape)}, where its labels {axes} say {wanted} for {now}",
                    hint="Please report this with the model's architecture; a label or repair rule is mistaken.",
                )
        return Value(out, axes, versions)


def _same(a: Size, b: Size) -> bool:
    from torch.fx.experimental.symbolic_shapes import statically_known_true

    return bool(statically_known_true(a == b))
