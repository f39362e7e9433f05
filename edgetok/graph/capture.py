"""Component -> Program: ``torch.export``, made functional and normalised the same way for dense and optimised."""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.export import Dim, ExportedProgram

from edgetok.errors import CaptureFailed
from edgetok.graph.normalise import normalise
from edgetok.graph.program import Program, TensorSpec, tensor_outputs
from edgetok.provenance import shared_provenance
from edgetok.silence import quiet

if TYPE_CHECKING:
    from edgetok.model import Component

MAX_DYNAMIC = 1 << 16
"""Upper bound declared for dynamic axes."""


def capture(component: Component) -> Program:
    """Capture a component as a normalised program.

    Dynamic axes that the model does not support are fixed at the example's size (``Program.notes`` says so).
    Outputs are the tensors of whatever ``forward`` returns, however nested; ``None`` and numbers are left out.

    Raises:
        CaptureFailed: ``torch.export`` cannot capture the model (the error names the place in the model's code), or
            what it captures has side effects or control flow.
    """
    notes: tuple[str, ...] = ()
    dynamic = component.dynamic
    try:
        exported = _export(component, dynamic)
    except Exception as first:
        if not dynamic:
            raise _failure(component, first) from first
        notes = (f"the batch is fixed: {_headline(first)}",)
        dynamic = {}
        try:
            exported = _export(component, dynamic)
        except Exception as second:
            raise _failure(component, second) from second
    _require_functional(component, exported)
    return normalise(_program(component, exported, dynamic, notes))


def _require_functional(component: Component, exported: ExportedProgram) -> None:
    """Refuse what no rewritten program could keep."""
    signature = exported.graph_signature
    changed = sorted({*signature.buffers_to_mutate.values(), *signature.user_inputs_to_mutate.values()})
    called = [node.name for node in exported.graph.nodes if node.op == "get_attr"]
    if not changed and not called:
        return
    raise CaptureFailed(
        f"{component.name!r} ({type(component.module).__name__}) is not a function of its inputs alone.",
        why=f"its forward changes {', '.join(changed)} in place"
        if changed
        else f"it branches or loops in the graph ({', '.join(called)})",
        hint="Call eval(), and pass a module whose forward only computes: no updated buffers, no torch.cond. "
        "A cache becomes an input and an output: take it as an argument, return what it is afterwards.",
    )


def _export(component: Component, dynamic: Mapping[str, Mapping[int, str]]) -> ExportedProgram:
    with quiet(), shared_provenance():
        exported = torch.export.export(
            component.module, (), dict(component.inputs), dynamic_shapes=dynamic_shapes(component.inputs, dynamic)
        )
        functional: ExportedProgram = exported.run_decompositions({})
        return functional


def dynamic_shapes(
    inputs: Mapping[str, torch.Tensor], dynamic: Mapping[str, Mapping[int, str]]
) -> dict[str, dict[int, Any]] | None:
    """``torch.export``'s form of dynamic axes: one ``Dim`` per symbol."""
    symbols = {s for axes in dynamic.values() for s in axes.values()}
    dims = {s: Dim(s, min=1, max=MAX_DYNAMIC) for s in symbols}
    if not dims:
        return None
    return {name: {axis: dims[s] for axis, s in dynamic.get(name, {}).items()} for name in inputs}


def _program(
    component: Component, exported: ExportedProgram, dynamic: Mapping[str, Mapping[int, str]], notes: tuple[str, ...]
) -> Program:
    inputs = tuple(_spec(n, t, dynamic.get(n, {})) for n, t in component.inputs.items())
    return Program(
        name=component.name,
        role=component.role,
        exported=exported,
        inputs=inputs,
        outputs=output_specs(exported, _output_names(exported), [dynamic.get(name, {}) for name in component.inputs]),
        example=dict(component.inputs),
        dynamic=dict(dynamic),
        notes=notes,
    )


def _spec(name: str, tensor: torch.Tensor, dynamic: Mapping[int, str]) -> TensorSpec:
    shape = tuple(dynamic.get(i, int(n)) for i, n in enumerate(tensor.shape))
    return TensorSpec(name, shape, str(tensor.dtype).removeprefix("torch."))


def _output_names(exported: ExportedProgram) -> list[str]:
    """A name for every tensor returned: its path in what ``forward`` returns, or its place."""
    spec = exported.call_spec.out_spec
    paths, _ = torch.utils._pytree.tree_flatten_with_path(spec.unflatten([0] * spec.num_leaves))
    names = [".".join(map(_step, path)) for path, _ in paths]
    returned = exported.graph.output_node().args[0]
    kept = set(tensor_outputs(exported))
    names = [name for name, node in zip(names, returned, strict=True) if node in kept]
    return [name if name and not name.isdigit() else f"output_{i}" for i, name in enumerate(names)]


def _step(key: Any) -> str:
    """One step of the way into nested outputs: a dict's key, a field's name or a place in a sequence."""
    return str(next(getattr(key, name) for name in ("key", "name", "idx") if hasattr(key, name)))


def output_specs(
    exported: ExportedProgram, names: list[str], dynamic: Sequence[Mapping[int, str]]
) -> tuple[TensorSpec, ...]:
    """Names, sizes and dtypes of the tensors a program returns.

    Args:
        exported: the program.
        names: of its outputs.
        dynamic: the names of symbolic axes of each input; sizes of outputs are told in them (``"2*batch"``).
    """
    symbols = _symbols(exported, dynamic)
    values = [node.meta["val"] for node in tensor_outputs(exported)]
    return tuple(
        TensorSpec(name, tuple(_size(n, symbols) for n in value.shape), str(value.dtype).removeprefix("torch."))
        for name, value in zip(names, values, strict=True)
    )


def _symbols(exported: ExportedProgram, dynamic: Sequence[Mapping[int, str]]) -> dict[str, str]:
    """The symbols of torch, with the names of the axes they are the size of."""
    nodes = {node.name: node for node in exported.graph.find_nodes(op="placeholder")}
    users = exported.graph_signature.user_inputs
    return {
        str(nodes[str(user)].meta["val"].shape[axis]): name
        for user, axes in zip(users, dynamic, strict=True)
        for axis, name in axes.items()
    }


def _size(size: int | torch.SymInt, symbols: Mapping[str, str]) -> int | str:
    if isinstance(size, int):
        return size
    told = re.sub(r"[A-Za-z_]\w*", lambda found: symbols.get(found[0], found[0]), str(size))
    return "*".join(sorted(told.split("*"))) if re.fullmatch(r"\w+(\*\w+)*", told) else told


def _failure(component: Component, error: Exception) -> CaptureFailed:
    return CaptureFailed(
        f"torch.export cannot capture {component.name!r} ({type(component.module).__name__}).",
        why=f"{_place(error)}{_headline(error)}",
        hint="Remove data-dependent Python control flow from forward (use torch.where or torch.cond), or pass a "
        "submodule that captures.",
    )


def _headline(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300] if lines else 'no message'}"


def _place(error: Exception) -> str:
    """The last frame of the model's own code: outside torch and outside this package."""
    torch_root, own = str(Path(torch.__file__).parent), str(Path(__file__).parent)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith((torch_root, own, "<"))]
    return f"at {frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name}: " if frames else ""
