"""Running a function of a package: values by name, one operation after the other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgetok.errors import RuntimeFailed
from edgetok.exporter import check_names
from edgetok.verify.mil.package import Package, damaged, open_package
from edgetok.verify.mil.program import Function, Literal, Operation, Slot, read_function
from edgetok.verify.mil.registry import Operands, evaluation
from edgetok.verify.mil.states import WRITE, next_of

IMAGE_KEY = "edgetok.image"
"""Metadata of a package whose input is a picture: how pixels become what the program takes."""

MALFORMED = (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)
"""What a program that is not what it declares can raise anywhere inside."""

_MOVES = frozenset({"reshape", "transpose", "expand_dims", "squeeze", "concat", "split", "slice_by_index", "const"})
"""Operations whose values are those of their inputs: nothing to round."""


class MilRunner:
    """An ``.mlpackage`` evaluated in torch. Calling it maps named arrays to named arrays.

    A floating input of another precision is rounded to the file's, integers are narrowed where they fit. Where the
    file takes a picture, the caller still passes the normalised array, which is turned back into pixel values. A state
    is given and returned as the input and the output that it was made of; where it is not given, it is what the last
    call left, zeros at first.

    Args:
        entry: the package.
        function: which function; None for the default one.
        threads: torch threads while it runs; None leaves torch's setting.

    Attributes:
        input_names, output_names: in the program's order, those of states last.

    Raises:
        RuntimeFailed: the package is damaged, or uses an operation that is not known here.
    """

    def __init__(self, entry: Path, *, function: str | None = None, threads: int | None = None) -> None:
        self.entry, self.threads = entry, threads
        package = open_package(entry)
        try:
            self.function = read_function(package, function)
            self._constants, self._steps = _folded(self.function)
            self._kept = {slot.name: np.zeros(slot.shape, np.float32) for slot in self.function.states}
        except MALFORMED as error:
            raise damaged(entry, f"its program cannot be read: {type(error).__name__}: {error}") from error
        self._next = next_of(package, tuple(self._kept))
        self.input_names = tuple(slot.name for slot in (*self.function.inputs, *self.function.states))
        self.output_names = (*self.function.outputs, *self._next.values())
        self._pixels = _pixels(package)
        self._dtypes = {slot.name: slot.format for op in self.function.operations for slot in op.outputs}
        self._drops = _last_uses(self._steps, self.function)

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run once.

        Raises:
            RuntimeFailed: names or shapes do not fit, or an operation fails.
        """
        inputs = {**self._kept, **inputs}
        check_names(self.entry.name, self.input_names, inputs)
        slots = (*self.function.inputs, *self.function.states)
        values = {slot.name: self._input(slot, inputs[slot.name]) for slot in slots}
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads or before)
        try:
            with torch.inference_mode():
                return self._run(values)
        finally:
            torch.set_num_threads(before)

    def _run(self, values: dict[str, Any]) -> dict[str, np.ndarray]:
        values = {**self._constants, **values}
        for step, drops in zip(self._steps, self._drops, strict=True):
            values.update(evaluate(step, values))
            if step.kind == WRITE:
                values.update(self._written(step, values))
            for name in drops:
                values.pop(name, None)
        if lacking := [name for name in self.function.outputs if not isinstance(values.get(name), Tensor)]:
            raise damaged(self.entry, f"its program never makes {', '.join(lacking)}")
        self._kept = {name: values[name].float().numpy() for name in self._kept}
        found = {name: self._output(name, values[name]) for name in self.function.outputs}
        return found | {given: self._state(name) for name, given in self._next.items()}

    def _written(self, step: Operation, values: Mapping[str, Any]) -> dict[str, Tensor]:
        (name,) = step.inputs["input"]
        slot = next((slot for slot in self.function.states if slot.name == name), None)
        if slot is None:
            raise damaged(self.entry, f"its program writes to {name}, which is no state")
        return {slot.name: _rounded(step, slot, _operands(step, values)["data"])}

    def _state(self, name: str) -> np.ndarray:
        (kind,) = (slot.format for slot in self.function.states if slot.name == name)
        return self._kept[name] if kind is None else self._kept[name].astype(kind.array)

    def _output(self, name: str, value: Tensor) -> np.ndarray:
        kind = self._dtypes.get(name)
        array: np.ndarray = value.contiguous().numpy()
        return array if kind is None else array.astype(kind.array)

    def _input(self, slot: Slot, array: np.ndarray) -> Tensor:
        if tuple(array.shape) != slot.shape:
            raise RuntimeFailed(
                f"{self.entry.name} was given {slot.name} of another shape",
                why=f"it takes {slot.shape}; given: {tuple(array.shape)}",
                hint="the file has static shapes: pass arrays of exactly these sizes",
            )
        value = torch.from_numpy(np.ascontiguousarray(array))
        if slot.name in self._pixels:
            value = self._pixels[slot.name](value)
        return value if slot.format is None else slot.format.rounded(_narrowed(slot, value))


def _narrowed(slot: Slot, value: Tensor) -> Tensor:
    """Integers that must fit the file's type."""
    if slot.format is None or slot.format.floating or value.dtype != torch.int64 or not value.numel():
        return value
    limits = torch.iinfo(torch.int32)
    if slot.format.name == "int32" and not limits.min <= int(value.min()) <= int(value.max()) <= limits.max:
        raise RuntimeFailed(f"values of input {slot.name} do not fit int32", why=f"up to {int(value.max())}")
    return value


def evaluate(step: Operation, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values one operation makes, rounded to their declared formats.

    Raises:
        RuntimeFailed: it is unknown, or cannot be evaluated on these values.
    """
    if step.kind == "const":
        return {step.outputs[0].name: step.attributes["val"]}
    operands = Operands(step.kind, _operands(step, values))
    try:
        made = evaluation(step.kind)(operands)
    except MALFORMED as error:
        raise RuntimeFailed(
            f"Operation {step.kind} of the ML program cannot be evaluated ({_made(step)}).",
            why=f"{type(error).__name__}: {str(error).strip()[:300]}",
        ) from error
    results = made if isinstance(made, tuple) else (made,)
    return {slot.name: _rounded(step, slot, value) for slot, value in zip(step.outputs, results, strict=True)}


def _made(step: Operation) -> str:
    return ", ".join(slot.name for slot in step.outputs) or "it makes nothing"


def _operands(step: Operation, values: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = dict(step.attributes)
    for name, bound in step.inputs.items():
        try:
            read = [b.value if isinstance(b, Literal) else values[b] for b in bound]
        except KeyError as error:
            raise RuntimeFailed(f"The ML program reads {error} before it is made.", why=f"by {step.kind}") from error
        found[name] = read[0] if len(read) == 1 and name != "values" else tuple(read)
    return found


def _rounded(step: Operation, slot: Slot, value: Tensor) -> Tensor:
    fits = len(slot.shape) == value.dim() and all(n in (-1, m) for n, m in zip(slot.shape, value.shape, strict=True))
    if not fits:
        raise RuntimeFailed(
            f"Operation {step.kind} of the ML program makes another shape than it declares ({slot.name}).",
            why=f"declared {slot.shape}, made {tuple(value.shape)}",
        )
    return value if slot.format is None or step.kind in _MOVES else slot.format.rounded(value)


def _folded(function: Function) -> tuple[dict[str, Any], list[Operation]]:
    """Constants and expanded weights, made once, and what is left to run. Every operation is looked up here."""
    constants: dict[str, Any] = {}
    steps: list[Operation] = []
    for step in function.operations:
        if step.kind == "const" or step.kind.startswith("constexpr_"):
            constants.update(evaluate(step, constants))
        else:
            evaluation(step.kind)
            steps.append(step)
    return constants, steps


def _last_uses(steps: list[Operation], function: Function) -> list[list[str]]:
    """After each step, the names that nothing reads any more."""
    kept = {*function.outputs, *(slot.name for slot in function.states)}
    drops: list[list[str]] = []
    for step in reversed(steps):
        read = {b for bound in step.inputs.values() for b in bound if isinstance(b, str)}
        drops.append(sorted(read - kept))
        kept |= read
    return drops[::-1]


def _pixels(package: Package) -> dict[str, Any]:
    """For inputs that are pictures: from the normalised array back to pixel values, by the package's metadata."""
    described = {item.name for item in package.spec.description.input if item.type.WhichOneof("Type") == "imageType"}
    if not described:
        return {}
    try:
        facts = json.loads(package.spec.description.metadata.userDefined[IMAGE_KEY])
        mean, std = (torch.tensor(facts[key], dtype=torch.float32).reshape(1, -1, 1, 1) for key in ("mean", "std"))
        rescale = float(facts["rescale"])
    except (KeyError, TypeError, ValueError) as error:
        raise RuntimeFailed(
            f"{package.path.name} takes a picture, and does not say how it is normalised.",
            why=f"no usable {IMAGE_KEY} in its metadata",
        ) from error
    return dict.fromkeys(described, lambda value: (value.float() * std + mean) / rescale)
