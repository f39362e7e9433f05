"""A captured component: functional ATen, flat named inputs and outputs, labels derived on demand."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from edgetok.model import Role

if TYPE_CHECKING:
    import torch
    from torch import fx
    from torch.export import ExportedProgram

    from edgetok.graph.labels import Labels
    from edgetok.precision import Precision


@dataclass(frozen=True)
class TensorSpec:
    """A named input or output: sizes are numbers or the names of symbols (``"batch"``)."""

    name: str
    shape: tuple[int | str, ...]
    dtype: str


@dataclass(frozen=True)
class Program:
    """A component as a ``torch.export.ExportedProgram`` with keyword inputs and a flat tuple of outputs.

    ``exported.module()(**inputs)`` returns one tensor per entry of ``outputs``. Parameter and buffer names are
    those of the model's state dict, in every variant of a program.

    Attributes:
        name: the component's name.
        exported: functional ATen; composite operations (``linear``, ``layer_norm``, attention) are kept whole.
        inputs, outputs: names, sizes and dtypes.
        example: the inputs it was captured with.
        dynamic: symbolic axes per input, as in ``Component.dynamic``.
        role: what the outputs mean, as in ``Component.role``.
        notes: what a user should know about the capture.
        precision: formats for the exporter to fulfil; ``None`` keeps every weight as it is.
    """

    name: str
    exported: ExportedProgram
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    example: Mapping[str, torch.Tensor]
    dynamic: Mapping[str, Mapping[int, str]]
    role: Role = "generic"
    notes: tuple[str, ...] = ()
    precision: Precision | None = None

    @property
    def graph(self) -> fx.Graph:
        """The graph of ``exported``."""
        graph: fx.Graph = self.exported.graph
        return graph

    @property
    def results(self) -> list[fx.Node]:
        """The nodes of ``outputs``; what else the module returned (``None``, numbers) is not among them."""
        return tensor_outputs(self.exported)

    @cached_property
    def placeholders(self) -> dict[str, str]:
        """The graph's placeholder for every input, by name."""
        names = self.exported.graph_signature.user_inputs
        return {spec.name: str(name) for spec, name in zip(self.inputs, names, strict=True)}

    @cached_property
    def labels(self) -> Labels:
        """Every axis of every value as a product of factors; see ``edgetok.graph.labels``."""
        from edgetok.graph.labels import label

        return label(self.graph, {node: self.dynamic.get(name, {}) for name, node in self.placeholders.items()})

    def with_state(self, state: Mapping[str, torch.Tensor]) -> Program:
        """The same graph, labels and all, with other parameters and buffers by state-dict name."""
        exported = copy.copy(self.exported)
        exported._state_dict = dict(state)
        other = replace(self, exported=exported)
        other.__dict__["labels"] = self.labels
        return other


def tensor_outputs(exported: ExportedProgram) -> list[fx.Node]:
    """The nodes a program returns that are tensors."""
    import torch
    from torch import fx

    returned = [a for a in exported.graph.output_node().args[0] if isinstance(a, fx.Node)]
    return [node for node in returned if isinstance(node.meta.get("val"), torch.Tensor)]
