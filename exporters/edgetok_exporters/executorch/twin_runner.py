"""Running a twin: torch for what is outside the delegate, Arm's TOSA reference model for what is inside."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from executorch.exir.passes import dim_order_ops_registry  # noqa: F401  (registers operators)
from safetensors.torch import load
from torch import Tensor
from torch._ops import OpOverload
from torch.ao.quantization.fx import _decomposed  # noqa: F401  (registers operators)

from edgetok.bundle.writing import sha256
from edgetok.errors import RuntimeFailed
from edgetok.exporter import check_names
from edgetok_exporters.executorch.container import check_container
from edgetok_exporters.executorch.native import silent
from edgetok_exporters.executorch.twin import CONSTANTS, DTYPE, GRAPH, ITEM, NODE, PIECE, twin_of

SPACES = frozenset({"quantized_decomposed", "dim_order_ops"})
"""Where operators may come from, beside core ATen."""
VALID = "TOSA_VALID"


class TwinRunner:
    """A ``.pte`` file for an NPU, simulated by its twin. Calling it maps named arrays to named arrays.

    Args:
        entry: the ``.pte`` file.
        threads: of torch; the reference model has one.

    Attributes:
        input_names, output_names: in the program's order, then exposed values.

    Raises:
        RuntimeFailed: a file is missing or damaged, or they do not belong together.
    """

    def __init__(self, entry: Path, *, threads: int | None = None) -> None:
        check_container(entry)
        if threads is not None:
            torch.set_num_threads(threads)
        self.entry = entry
        try:
            self._graph, self._constants, self._programs = _read(twin_of(entry))
            self.input_names = tuple(self._graph["inputs"].values())
            self.output_names = tuple(self._graph["outputs"])
            used = {node["op"] for node in self._graph["nodes"]} - {PIECE, ITEM}
            self._ops = {name: _operator(name) for name in used}
            belongs = self._graph["file"] == sha256(entry)
        except RuntimeFailed:
            raise
        except Exception as error:
            raise _refused(twin_of(entry), f"{type(error).__name__}: {str(error)[:300]}") from error
        if not belongs:
            raise _refused(twin_of(entry), f"it was not made with this {entry.name}")

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run once.

        Raises:
            RuntimeFailed: names, shapes or dtypes do not fit, or the reference model refuses a piece.
        """
        check_names(self.entry.name, self.input_names, inputs)
        values: dict[str, Any] = dict(self._constants)
        for node, name in self._graph["inputs"].items():
            values[node] = torch.from_numpy(np.ascontiguousarray(inputs[name]))
        try:
            with torch.inference_mode():
                for node in self._graph["nodes"]:
                    values[node["name"]] = self._run(node, values)
        except RuntimeFailed:
            raise
        except Exception as error:
            raise RuntimeFailed(
                f"The twin of {self.entry.name} cannot run.",
                why=f"{type(error).__name__}: {str(error).strip()[:400]}",
                hint="its shapes are fixed: export it for another batch size with exporter.batch",
            ) from error
        results = [_value(result, values) for result in self._graph["results"]]
        return {name: value.numpy() for name, value in zip(self.output_names, results, strict=True)}

    def _run(self, node: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
        args = _value(node["args"], values)
        if node["op"] == PIECE:
            return _simulate(self._programs[args[0]], args[1], node["shapes"])
        if node["op"] == ITEM:
            return args[0][args[1]]
        kwargs = {key: _value(value, values) for key, value in node["kwargs"].items()}
        return self._ops[node["op"]](*args, **kwargs)


def _simulate(program: bytes, inputs: list[Tensor], shapes: list[list[int]]) -> list[Tensor]:
    reference_model: Any = import_module("tosa_reference_model")
    arrays = [np.ascontiguousarray(x.numpy()) for x in inputs]
    with silent():
        made, status = reference_model.run(program, arrays, verbosity="none")
    if status.name != VALID:
        raise RuntimeFailed("Arm's TOSA reference model does not run a piece of the program.", why=str(status.name))
    return [torch.from_numpy(np.array(x)).reshape(shape) for x, shape in zip(made, shapes, strict=True)]


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, bytes]]:
    if not path.is_file():
        raise _refused(path, "it is missing")
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    constants = load(files.pop(CONSTANTS))
    return json.loads(files.pop(GRAPH)), constants, files


def _operator(name: str) -> Callable[..., Any]:
    """The operator of that name: core ATen or the copying form of it, or of ``SPACES``.

    Raises:
        ValueError: it is another.
    """
    space, _, rest = name.partition("::")
    packet, _, overload = rest.rpartition(".")
    if space in SPACES:
        return _overload(space, packet, overload)
    if space != "aten" or torch.Tag.core not in _overload(space, packet.removesuffix("_copy"), overload).tags:
        raise ValueError(f"{name} is no operator of a twin")
    return _overload(space, packet, overload)


def _overload(space: str, packet: str, overload: str) -> OpOverload:
    return getattr(getattr(getattr(torch.ops, space), packet), overload or "default")  # type: ignore[no-any-return]


def _value(argument: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(argument, list):
        return [_value(item, values) for item in argument]
    if not isinstance(argument, dict):
        return argument
    if NODE in argument:
        return values[argument[NODE]]
    if DTYPE in argument:
        return getattr(torch, argument[DTYPE])
    raise ValueError(f"a twin has no argument {argument}")


def _refused(path: Path, why: str) -> RuntimeFailed:
    return RuntimeFailed(f"{path.name} does not simulate the file beside it.", why=why, hint="Export it again.")
