"""What happens to a program before ``torch.onnx`` sees it: a batch of one known size, plain layouts."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import fx
from torch.export import ExportedProgram

from edgetok.errors import ExportFailed
from edgetok.graph.outputs import rebuilt


def with_batch(exported: ExportedProgram, dynamic: Mapping[str, Mapping[int, str]], size: int) -> ExportedProgram:
    """A copy whose batch is ``size``: inputs here, everything downstream when ``torch.onnx`` traces it again.

    Args:
        exported: left as it is.
        dynamic: symbolic axes by placeholder.
        size: the one batch size.

    Raises:
        ExportFailed: the program has a fixed batch already, and it is another.
    """
    module = copy.deepcopy(exported.graph_module)
    users = set(exported.graph_signature.user_inputs)
    inputs = [n for n in module.graph.nodes if n.op == "placeholder" and n.name in users]
    for node in inputs:
        value = node.meta["val"]
        axes = [a for a, symbol in dynamic.get(node.name, {}).items() if symbol == "batch"]
        if not axes or not isinstance(value, torch.Tensor):
            continue
        shape = [size if axis in axes else n for axis, n in enumerate(value.shape)]
        with value.fake_mode:  # type: ignore[attr-defined]
            node.meta["val"] = torch.empty(shape, dtype=value.dtype, device=value.device)
    if not any("batch" in axes.values() for axes in dynamic.values()):
        _check_fixed(inputs, size)
    return rebuilt(exported, module)


def with_plain_layouts(exported: ExportedProgram) -> ExportedProgram:
    """A copy that lays transposed values out anew before reshaping them; in ONNX that costs nothing.

    Decomposing freezes a reshape as a view of the strides its input has in that trace. A later trace may decompose the
    attention in front of it otherwise, whose result has other strides.
    """
    module = copy.deepcopy(exported.graph_module)
    for node in module.graph.find_nodes(op="call_function", target=torch.ops.aten.reshape.default):
        source = node.args[0]
        if isinstance(source, fx.Node) and source.target in _MOVES:
            with module.graph.inserting_before(node):
                copied = module.graph.call_function(
                    torch.ops.aten.clone.default, (source,), {"memory_format": torch.contiguous_format}
                )
            copied.meta.update({"val": source.meta["val"].contiguous(), "custom": node.meta.get("custom", {})})
            node.replace_input_with(source, copied)
    module.recompile()
    return rebuilt(exported, module)


_MOVES = frozenset({torch.ops.aten.transpose.int, torch.ops.aten.permute.default})


def _check_fixed(inputs: Sequence[fx.Node], size: int) -> None:
    found = {int(node.meta["val"].shape[0]) for node in inputs if node.meta["val"].dim()}
    if found - {size}:
        raise ExportFailed(
            f"the program cannot be exported with batch {size}",
            why=f"it was captured with a fixed batch of {', '.join(map(str, sorted(found)))}",
            hint="capture it with a dynamic batch axis, or export the batch it has",
        )
