"""A ``.pt2`` file: a program that ``torch.export.save`` wrote."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetok.errors import MissingExtra, UnsupportedModel
from edgetok.model import Component, Model

if TYPE_CHECKING:
    from torch import Tensor
    from torch.export import ExportedProgram


def load_exported(path: Path, *, source: str) -> Model:
    """A Model from a ``.pt2`` archive that has been checked first; guards and other source text it carries are unused.

    Axis 0 symbols are called ``"batch"``; other symbols keep their names.

    Raises:
        UnsafeModel: it carries pickles, native code or anything but tensor operations.
        BrokenWeights: it is truncated or inconsistent.
        UnsupportedModel: torch cannot load it, or its inputs are not a flat list of tensors.
    """
    from edgetok.provenance import traceable
    from edgetok.sources.archive import check_archive

    with path.open("rb") as stream:
        modules = check_archive(stream, path)
        _import(modules, path)
        stream.seek(0)
        exported = _load(stream, path)
    inputs = _inputs(exported, path)
    _take_keywords(exported, list(inputs))
    component = Component(
        name="model",
        module=traceable(exported),
        inputs={name: tensor for name, (tensor, _) in inputs.items()},
        dynamic={name: axes for name, (_, axes) in inputs.items() if axes},
    )
    return Model(name=path.stem, source=source, components={"model": component})


def _import(modules: set[str], path: Path) -> None:
    try:
        for module in sorted(modules):
            importlib.import_module(module)
    except ImportError as error:
        hint = "pip install 'edgetok[hf]'"
        raise MissingExtra(f"{path.name} returns a transformers output.", why=str(error), hint=hint) from error


def _load(stream: Any, path: Path) -> ExportedProgram:
    from torch.export.pt2_archive._package import load_pt2

    from edgetok.sources.factory import cause

    try:
        return load_pt2(stream).exported_programs["model"]
    except (
        RuntimeError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        AssertionError,
        NotImplementedError,
    ) as error:
        hint = "Export it again with this torch, or write package.module:factory."
        raise UnsupportedModel(f"torch cannot load {path.name}.", why=cause(error), hint=hint) from error


def _inputs(exported: ExportedProgram, path: Path) -> dict[str, tuple[Tensor, Mapping[int, str]]]:
    """By ``forward`` parameter: an example with symbolic sizes of at least 2, and the symbolic axes."""
    import torch

    names = _flat_names(exported, path)
    user = set(exported.graph_signature.user_inputs)
    values = [node.meta["val"] for node in exported.graph.nodes if node.op == "placeholder" and node.name in user]
    if len(values) != len(names) or not all(isinstance(value, torch.Tensor) for value in values):
        raise UnsupportedModel(f"{path.name} takes inputs that are not tensors.", why=f"{len(values)} of {len(names)}.")
    given = _examples(exported, len(names))
    symbols: dict[str, str] = {}
    return {
        name: (_at_least_two(example, axes), axes)
        for name, value, example in zip(names, values, given or map(_seeded, values), strict=True)
        for axes in [_symbolic_axes(value, symbols)]
    }


def _flat_names(exported: ExportedProgram, path: Path) -> list[str]:
    positional, keyword = exported.call_spec.in_spec.children()
    if any(not child.is_leaf() for child in [*positional.children(), *keyword.children()]):
        why = f"Its inputs are {exported.call_spec.in_spec}."
        raise UnsupportedModel(f"{path.name} takes nested inputs.", why=why, hint="Export it with flat tensor inputs.")
    signature = exported.module_call_graph[0].signature
    names = list((signature and signature.forward_arg_names) or [])
    count = len(positional.children())
    if len(names) < count:
        names = [f"arg_{index}" for index in range(count)]
    return [*names[:count], *map(str, keyword.context or [])]


def _take_keywords(exported: ExportedProgram, names: list[str]) -> None:
    """Let the program be called with keywords only, as components are; the flat order of inputs stays."""
    from torch.utils._pytree import tree_structure

    signature = exported.module_call_graph[0].signature
    assert signature is not None
    signature.in_spec = tree_structure(((), dict.fromkeys(names, 0)))
    signature.forward_arg_names = names
    exported.example_inputs = None


def _examples(exported: ExportedProgram, count: int) -> list[Tensor] | None:
    import torch

    if not exported.example_inputs:
        return None
    args, kwargs = exported.example_inputs
    flat = [*args, *kwargs.values()]
    return flat if len(flat) == count and all(isinstance(value, torch.Tensor) for value in flat) else None


def _symbolic_axes(value: Tensor, symbols: dict[str, str]) -> dict[int, str]:
    axes: dict[int, str] = {}
    for axis, size in enumerate(map(str, value.shape)):
        if size.isidentifier():
            free = axis == 0 and "batch" not in symbols.values()
            axes[axis] = symbols.setdefault(size, "batch" if free else size)
    return axes


def _at_least_two(example: Tensor, axes: Mapping[int, str]) -> Tensor:
    repeats = [2 if axis in axes and size == 1 else 1 for axis, size in enumerate(example.shape)]
    return example.repeat(repeats) if 2 in repeats else example


def _seeded(value: Tensor) -> Tensor:
    import torch

    sizes: list[Any] = list(value.shape)
    shape = [size if isinstance(size, int) else max(2, int(size.node.hint or 2)) for size in sizes]
    if value.dtype.is_floating_point:
        return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=value.dtype)
    return torch.zeros(shape, dtype=value.dtype)
