"""What simulates a file for an NPU here: its own operations, with its pieces as the TOSA they were compiled from.

A twin is a zip beside the ``.pte``: ``graph.json`` with the operations outside the delegate and a call per piece, the
pieces as TOSA programs, the constants as safetensors. It is for checking, not for an app.
"""

from __future__ import annotations

import json
import operator
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save
from torch import Tensor, fx

from edgetok_exporters.executorch.container import INPUTS, OUTPUTS
from edgetok_exporters.executorch.vela import pieces

if TYPE_CHECKING:
    from executorch.exir import EdgeProgramManager
    from torch.export import ExportedProgram

SUFFIX = ".twin.zip"
GRAPH, CONSTANTS = "graph.json", "constants.safetensors"
NODE, DTYPE = "$node", "$dtype"
"""Keys of arguments that JSON has no word for."""
PIECE, ITEM = "tosa", "getitem"
"""Operations of a twin beside torch's."""
PLACES = frozenset({"device", "layout", "pin_memory"})
"""Arguments that say where a tensor is: for a twin, always in plain memory."""


def twin_of(entry: Path) -> Path:
    """Where a file's twin is."""
    return entry.with_suffix(SUFFIX)


@dataclass
class Twin:
    """A lowered program as data."""

    graph: dict[str, Any]
    constants: dict[str, Tensor]
    programs: dict[str, bytes] = field(repr=False)

    def write(self, entry: Path, digest: str) -> Path:
        """Write it beside ``entry``, the file with this digest."""
        path = twin_of(entry)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            files = {GRAPH: json.dumps({**self.graph, "file": digest}).encode(), CONSTANTS: save(self.constants)}
            for name, data in {**files, **self.programs}.items():
                archive.writestr(zipfile.ZipInfo(name), data)
        return path


def make_twin(edge: EdgeProgramManager, names: Mapping[str, list[str]]) -> Twin:
    """A partitioned program as data; to be made before its pieces are compiled.

    Args:
        edge: partitioned into TOSA pieces.
        names: names of inputs and outputs, by :data:`~edgetok_exporters.executorch.container.INPUTS` and ``OUTPUTS``.
    """
    exported = edge.exported_program()
    nodes = [_described(node) for node in exported.graph.nodes if node.op == "call_function"]
    results = [_argument(arg) for arg in exported.graph.output_node().args[0]]
    inputs = dict(zip(exported.graph_signature.user_inputs, names[INPUTS], strict=True))
    graph = {"inputs": inputs, "outputs": names[OUTPUTS], "nodes": nodes, "results": results}
    programs = {f"{name}.tosa": part.processed_bytes for name, part in pieces(edge).items()}
    return Twin(graph, _constants(exported), programs)


def _constants(exported: ExportedProgram) -> dict[str, Tensor]:
    """Weights and other tensors that placeholders stand for."""
    signature = exported.graph_signature
    lifted = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    lifted |= signature.inputs_to_lifted_tensor_constants
    held = {**exported.state_dict, **exported.constants}
    return {node: held[name].detach().clone().contiguous() for node, name in lifted.items()}


def _described(node: fx.Node) -> dict[str, Any]:
    if node.target is operator.getitem:
        op, args = ITEM, list(node.args)
    elif str(node.target) == "executorch_call_delegate":
        op, args = PIECE, [f"{node.args[0].target}.tosa", list(node.args[1:])]  # type: ignore[union-attr]
    else:
        target: Any = getattr(node.target, "_op", node.target)
        op, args = f"{target._schema.name}.{target._overloadname}", list(node.args)
    kwargs = {key: _argument(value) for key, value in node.kwargs.items() if key not in PLACES}
    made: dict[str, Any] = {"name": node.name, "op": op, "args": _argument(args), "kwargs": kwargs}
    if op == PIECE:
        made["shapes"] = [list(value.shape) for value in node.meta["val"]]
    return made


def _argument(value: Any) -> Any:
    if isinstance(value, fx.Node):
        return {NODE: value.name}
    if isinstance(value, torch.dtype):
        return {DTYPE: str(value).removeprefix("torch.")}
    if isinstance(value, (list, tuple)):
        return [_argument(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a twin has no word for {value!r}")
