"""A function of a MIL program as plain data: operations in order, constants decoded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgetok.errors import RuntimeFailed
from edgetok.verify.mil.formats import STRING, Format, format_of, tensor_of, unpacked
from edgetok.verify.mil.package import Package, damaged

Constant = Tensor | str | tuple[Any, ...]
_LARGEST = 2**31


@dataclass(frozen=True)
class Slot:
    """A named value with its declared format (None for text) and shape; -1 is a size known at run time."""

    name: str
    format: Format | None
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Operation:
    """One operation.

    Attributes:
        kind: its type, ``"matmul"``.
        inputs: by parameter name: one name or constant, or several for a list.
        outputs: what it makes.
        attributes: constants that are part of it, such as the value of ``const``.
    """

    kind: str
    inputs: Mapping[str, tuple[str | Literal, ...]]
    outputs: tuple[Slot, ...]
    attributes: Mapping[str, Constant]


@dataclass(frozen=True)
class Literal:
    """A constant written in place of a name."""

    value: Constant


@dataclass(frozen=True)
class Function:
    """One function of a program: inputs, states, operations in order, names of outputs."""

    name: str
    opset: str
    inputs: tuple[Slot, ...]
    states: tuple[Slot, ...]
    operations: tuple[Operation, ...]
    outputs: tuple[str, ...]


def functions_of(package: Package) -> tuple[str, ...]:
    """Names of the functions of a package, the default one first."""
    default = package.spec.description.defaultFunctionName or "main"
    names = sorted(package.spec.mlProgram.functions)
    return tuple(sorted(names, key=lambda name: (name != default, name)))


def read_function(package: Package, name: str | None = None) -> Function:
    """Decode one function with its weights; without a name, the default one.

    Raises:
        RuntimeFailed: it is not there, or a part of it is damaged.
    """
    program = package.spec.mlProgram
    name = name or next(iter(functions_of(package)), "main")
    if name not in program.functions:
        raise RuntimeFailed(
            f"{package.path.name} has no function {name!r}.",
            why=f"its functions are {', '.join(functions_of(package)) or 'none'}",
            hint="Name one of these.",
        )
    function = program.functions[name]
    if function.opset not in function.block_specializations:
        raise damaged(package.path, f"function {name!r} has no block for its opset {function.opset!r}")
    block = function.block_specializations[function.opset]
    return Function(
        name=name,
        opset=function.opset,
        inputs=tuple(_slot(item, package) for item in function.inputs if not _is_state(item)),
        states=tuple(_state(item, package) for item in function.inputs if _is_state(item)),
        operations=tuple(_operation(op, package) for op in block.operations),
        outputs=tuple(block.outputs),
    )


def _operation(message: Any, package: Package) -> Operation:
    if message.blocks:
        raise RuntimeFailed(
            f"The MIL interpreter does not evaluate control flow: {message.type}.",
            why="the operation has blocks of its own",
            hint="Run the package on macOS.",
        )
    inputs = {key: tuple(_binding(b, package) for b in value.arguments) for key, value in message.inputs.items()}
    attributes = {key: _constant(value, package) for key, value in message.attributes.items() if key != "name"}
    return Operation(message.type, inputs, tuple(_slot(item, package) for item in message.outputs), attributes)


def _binding(message: Any, package: Package) -> str | Literal:
    if message.WhichOneof("binding") == "name":
        return str(message.name)
    return Literal(_constant(message.value, package))


def _is_state(message: Any) -> bool:
    return bool(message.type.WhichOneof("type") == "stateType")


def _state(message: Any, package: Package) -> Slot:
    tensor = message.type.stateType.wrappedType.tensorType
    return Slot(message.name, format_of(tensor.dataType), _shape(tensor, package))


def _slot(message: Any, package: Package) -> Slot:
    kind = message.type.WhichOneof("type")
    if kind != "tensorType":
        return Slot(message.name, None, ())
    tensor = message.type.tensorType
    number = tensor.dataType
    return Slot(message.name, None if number == STRING else format_of(number), _shape(tensor, package))


def _shape(tensor: Any, package: Package) -> tuple[int, ...]:
    sizes = tuple(int(d.constant.size) if d.WhichOneof("dimension") == "constant" else -1 for d in tensor.dimensions)
    if math.prod(max(size, 1) for size in sizes) >= _LARGEST:
        raise damaged(package.path, f"it declares a tensor of shape {sizes}")
    return sizes


def _constant(message: Any, package: Package) -> Constant:
    if message.WhichOneof("value") == "blobFileValue":
        blob = message.blobFileValue
        return _stored(message.type.tensorType, package.blob(blob.fileName, blob.offset), package)
    immediate = message.immediateValue
    if immediate.WhichOneof("value") in ("list", "tuple"):
        values = getattr(immediate, immediate.WhichOneof("value")).values
        return tuple(_constant(value, package) for value in values)
    return _immediate(message.type.tensorType, immediate.tensor, package)


def _stored(declared: Any, data: np.ndarray, package: Package) -> Tensor:
    kind, shape = format_of(declared.dataType), _shape(declared, package)
    count = math.prod(shape)
    if len(data) * 8 < count * kind.bits:
        raise damaged(package.path, f"a weight of shape {shape} in {kind.name} has only {len(data)} bytes")
    return tensor_of(unpacked(data, kind, count), kind, shape)


def _immediate(declared: Any, tensor: Any, package: Package) -> Constant:
    field = tensor.WhichOneof("value")
    if declared.dataType == STRING:
        texts: Sequence[str] = tensor.strings.values
        return str(texts[0]) if declared.rank == 0 and texts else tuple(texts)
    if field == "bytes":
        return _stored(declared, np.frombuffer(tensor.bytes.values, dtype=np.uint8), package)
    kind, shape = format_of(declared.dataType), _shape(declared, package)
    values = np.asarray(getattr(tensor, field).values) if field else np.zeros(0)
    if values.size == 1 and math.prod(shape) != 1:
        values = np.broadcast_to(values, shape)
    if values.size != math.prod(shape):
        raise damaged(package.path, f"a constant of shape {shape} holds {values.size} values")
    return kind.rounded(torch.from_numpy(np.array(values))).reshape(shape)
