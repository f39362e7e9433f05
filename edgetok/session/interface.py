"""What the delivered file takes and gives, where the exporter's options narrow what the program does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel

    from edgetok.graph import Program, TensorSpec
    from edgetok.session.prepare import Prepared
    from edgetok.target import Target
    from edgetok.verify.tolerance import Arithmetic


def dtype_of(prepared: Prepared) -> Literal["fp32", "fp16"]:
    """What the delivered file computes in."""
    return "fp16" if getattr(prepared.tools.options, "dtype", "fp32") == "fp16" else "fp32"


def arithmetic_of(prepared: Prepared) -> Arithmetic:
    """What the delivered file computes in, by its coarsest numbers."""
    chosen = prepared.tools.precision
    if rounds_inputs(prepared):
        return "int8"
    if chosen is None or chosen.scheme == "fp16":
        return "fp16" if chosen else dtype_of(prepared)
    return "int4" if chosen.scheme.startswith("int4") else "int8"


def asks_rounding(options: BaseModel) -> bool:
    """Whether an exporter is asked to let products with packed weights round their inputs to 8 bits."""
    return getattr(options, "packed_activations", "float") == "int8"


def rounds_inputs(prepared: Prepared) -> bool:
    """Whether the delivered file rounds what it multiplies packed weights with to 8 bits."""
    if not asks_rounding(prepared.tools.options) or prepared.tools.target.packed.rounded is None:
        return False
    from edgetok.ops.packed import PACKED_MATMUL
    from edgetok.plugin import WeightPlugin

    packs = any(isinstance(plugin, WeightPlugin) for plugin in prepared.tools.plugins)
    return packs or bool(prepared.program.graph.find_nodes(op="call_function", target=PACKED_MATMUL))


def is_executable(target: Target) -> bool:
    """Whether a target's files can be run or simulated on this machine."""
    return target.proof in ("run", "simulated")


def fixed_batch(prepared: Prepared) -> int | None:
    """The only batch size that the file takes; ``None`` where any does."""
    return fixed_size(prepared.tools.options, prepared.program)


def fixed_size(options: BaseModel, program: Program) -> int | None:
    """The same, of a program that is exported with these options."""
    batch = getattr(options, "batch", "dynamic")
    if batch != "dynamic":
        return int(batch)
    if any(0 in axes for axes in program.dynamic.values()):
        return None
    first = next(iter(program.example.values()))
    return int(first.shape[0]) if first.dim() else 1


def batched(program: Program) -> frozenset[str]:
    """The inputs that hold one entry per sample along axis 0; others are the same for all samples."""
    dynamic = {name for name, axes in program.dynamic.items() if 0 in axes}
    if dynamic:
        return frozenset(dynamic)
    sizes = {name: tensor.shape[0] for name, tensor in program.example.items() if tensor.dim()}
    first = next(iter(sizes.values()), 1)
    return frozenset(name for name, size in sizes.items() if size == first)


def delivered(prepared: Prepared, specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """A program's inputs or outputs as the delivered file has them."""
    fixed = getattr(prepared.tools.options, "batch", "dynamic")
    half = dtype_of(prepared) == "fp16" and getattr(prepared.tools.options, "io", "fp32") == "same"
    return tuple(
        replace(
            spec,
            shape=spec.shape if fixed == "dynamic" else tuple(fixed if n == "batch" else n for n in spec.shape),
            dtype="float16" if half and spec.dtype == "float32" else spec.dtype,
        )
        for spec in specs
    )
