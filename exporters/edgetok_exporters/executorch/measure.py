"""What the partitioner placed where, counted on the program it made."""

from __future__ import annotations

from collections import Counter
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from edgetok.exporter import Delegation
from edgetok.ops.packed import PACKED_MATMUL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from executorch.exir import EdgeProgramManager, ExecutorchProgramManager
    from torch import fx
    from torch.export import ExportedProgram

    from edgetok.graph.program import Program


def delegation(edge: EdgeProgramManager, delegate: str) -> Delegation:
    """Operations inside and outside the delegate, its pieces, and the bytes it was given with its weights."""
    from executorch.exir.lowered_backend_module import LoweredBackendModule

    module = edge.exported_program().graph_module
    lowered = [part for part in module.children() if isinstance(part, LoweredBackendModule)]
    outside = Counter(_operations(module.graph))
    outside.pop("executorch_call_delegate", None)
    return Delegation(
        delegate=delegate,
        inside=sum(len(_operations(part.original_module.graph)) for part in lowered),
        outside=dict(sorted(outside.items())),
        partitions=len(lowered),
        bytes=sum(_size(part) for part in lowered),
        how=f"counted on the edge program made by executorch {version('executorch')}",
    )


def tables(program: Program, lowered: ExportedProgram) -> tuple[Tensor, ...] | None:
    """The constants that lowering made (tables, masks), where weights are packed; ``None`` where none is.

    To be asked before the partitioner, which takes constants out of ``lowered``.
    """
    if not program.graph.find_nodes(op="call_function", target=PACKED_MATMUL):
        return None
    return tuple(value for value in lowered.constants.values() if isinstance(value, Tensor))


def weights(made: ExecutorchProgramManager, edge: EdgeProgramManager, tables: Sequence[Tensor]) -> int | None:
    """Bytes of weights in a file: the program's data and its delegates', but for ``tables``.

    ``None`` where a delegate keeps weights in its own blob, in which they cannot be told from its program.
    """
    from executorch.exir.lowered_backend_module import LoweredBackendModule

    parts = [part for part in edge.exported_program().graph_module.children() if isinstance(part, LoweredBackendModule)]
    if any(_in_blob(part) for part in parts):
        return None
    inside = {data for part in parts if part.named_data_store_output for data in part.named_data_store_output.buffers}
    stored = [*inside, *(each.storage for each in made.executorch_program.constant_buffer)]
    return sum(len(data) for data in stored if not any(same_bytes(data, table) for table in tables))


def _in_blob(part: Any) -> bool:
    """Whether a delegate was given tensors and stores none beside its blob."""
    stored, given = part.named_data_store_output, part.original_module
    return bool(given.state_dict or given.constants) and not (stored and stored.buffers)


def same_bytes(data: bytes, tensor: Tensor) -> bool:
    """Whether these are the bytes of a tensor, of any dtype."""
    if len(data) != tensor.nbytes:
        return False
    own = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
    return np.array_equal(np.frombuffer(data, np.uint8), own.numpy())


def _operations(graph: fx.Graph) -> list[str]:
    """Names of the operations that are executed: ``native_layer_norm``, not the items of its result."""
    names = [_name(node.target) for node in graph.nodes if node.op == "call_function"]
    return [name for name in names if name != "getitem"]


def _name(target: Any) -> str:
    return str(getattr(target, "_name", getattr(target, "__name__", target))).split("::")[-1].split(".")[0]


def _size(part: Any) -> int:
    stored = part.named_data_store_output
    return len(part.processed_bytes) + (sum(map(len, stored.buffers)) if stored else 0)
