"""What the partitioner placed where, counted on the program it made."""

from __future__ import annotations

from collections import Counter
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from torch import Tensor

from edgetok.exporter import Delegation

if TYPE_CHECKING:
    from executorch.exir import EdgeProgramManager, ExecutorchProgramManager
    from torch import fx
    from torch.export import ExportedProgram


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


def weights(made: ExecutorchProgramManager, edge: EdgeProgramManager, lowered: ExportedProgram) -> int:
    """Bytes of weights in a file: the program's and its delegates' data, but for what lowering made (tables, masks)."""
    from executorch.exir.lowered_backend_module import LoweredBackendModule

    parts = edge.exported_program().graph_module.children()
    kept = [part.named_data_store_output for part in parts if isinstance(part, LoweredBackendModule)]
    inside = {bytes(buffer) for store in kept if store for buffer in store.buffers}
    stored = [*inside, *(bytes(each.storage) for each in made.executorch_program.constant_buffer)]
    tensors = (value for value in lowered.constants.values() if isinstance(value, Tensor))
    constants = {tensor.contiguous().numpy().tobytes() for tensor in tensors}
    return sum(len(data) for data in stored if data not in constants)


def _operations(graph: fx.Graph) -> list[str]:
    """Names of the operations that are executed: ``native_layer_norm``, not the items of its result."""
    names = [_name(node.target) for node in graph.nodes if node.op == "call_function"]
    return [name for name in names if name != "getitem"]


def _name(target: Any) -> str:
    return str(getattr(target, "_name", getattr(target, "__name__", target))).split("::")[-1].split(".")[0]


def _size(part: Any) -> int:
    stored = part.named_data_store_output
    return len(part.processed_bytes) + (sum(map(len, stored.buffers)) if stored else 0)
