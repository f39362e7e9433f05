"""The way of a program to a package: lowered, prepared, converted, compressed, written."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch

from edgetok.exporter import Exported
from edgetok.lowering import lower
from edgetok_exporters.coreml import compress, images, packed, plan, refusals, states
from edgetok_exporters.coreml.combine import combine
from edgetok_exporters.coreml.convert import convert, toolchain
from edgetok_exporters.coreml.outputs import distinct
from edgetok_exporters.coreml.placement import placement
from edgetok_exporters.coreml.prepare import prepare
from edgetok_exporters.coreml.save import package_path, save

if TYPE_CHECKING:
    from edgetok.exporter import Delegation
    from edgetok.graph.program import Program
    from edgetok.target import Target
    from edgetok_exporters.coreml import Options

METADATA = "edgetok.program"


@dataclass(frozen=True)
class Made:
    """A model in memory, the outputs of exposed nodes, where its operations will run, and who made them."""

    model: Any
    exposed: dict[str, tuple[str, ...]]
    delegation: Delegation | None
    makers: Mapping[str, str]


def export(
    program: Program,
    target: Target,
    directory: Path,
    *,
    stem: str,
    options: Options,
    expose: Sequence[str] = (),
) -> Exported:
    """Write a program as a package; see :meth:`edgetok_exporters.coreml.CoreMLExporter.export`."""
    started = time.perf_counter()
    _check(program, target, options)
    path = package_path(directory, stem)
    made = to_model(program, target, options, options.batch, expose)
    files = _save_batches(program, target, options, made, path) if options.batches else save(made.model, path)
    stored = sum(file.stat().st_size for file in files if file.name == "weight.bin")
    delegation = made.delegation if expose else _placed(path, made, target, options)
    return Exported(path, files, time.perf_counter() - started, made.exposed, delegation, stored)


def _placed(path: Path, made: Made, target: Target, options: Options) -> Delegation | None:
    """What Core ML says of the package where it is, else what the target's table says."""
    if platform.system() != "Darwin":
        return made.delegation
    function = f"batch_{options.batch}" if options.batches else "main"
    return plan.measured(path, function, target, made.makers, made.delegation)


def to_model(program: Program, target: Target, options: Options, batch: int, expose: Sequence[str] = ()) -> Made:
    """The finished model for one batch size.

    Raises:
        ExportFailed: the toolchain cannot lower or convert the program.
    """
    toolchain()
    dtype = torch.float16 if options.dtype == "fp16" else None
    keep = packed.register(options)
    lowered = lower(program, target, batch=batch, expose=expose, dtype=dtype, keep=keep)
    exported = prepare(lowered.exported)
    if options.image:
        exported = images.on_pixels(exported, options)
    exposed = {
        node: tuple(f"exposed_{i}_{j}" for j in range(count)) for i, (node, count) in enumerate(lowered.exposed.items())
    }
    names = [*(spec.name for spec in program.outputs), *(name for group in exposed.values() for name in group)]
    names, carriers = distinct(exported, names, len(program.outputs))
    exposed = {node: tuple(carriers.get(name, name) for name in group) for node, group in exposed.items()}
    exported, inputs, names = states.with_states(exported, program.inputs, names, dict(options.states))
    converted = convert(exported, inputs, names, options)
    model = compress.compress(converted.model, exported, program.precision, options)
    _describe(model, program, options)
    return Made(model, exposed, placement(model.get_spec(), target, converted.makers), converted.makers)


def _describe(model: Any, program: Program, options: Options) -> None:
    model.user_defined_metadata[METADATA] = program.name
    states.describe(model, dict(options.states))
    if options.image:
        images.describe(model, options)


def _check(program: Program, target: Target, options: Options) -> None:
    refusals.check_options(program.precision, target, options)
    packed.check(program, target)
    images.check(program, options)
    states.check(program, options)


def _save_batches(program: Program, target: Target, options: Options, made: Made, path: Path) -> tuple[Path, ...]:
    """One function per batch size over shared weights; the default one is that of ``options.batch``."""
    with TemporaryDirectory(prefix="edgetok-coreml-") as folder:
        packages = {f"batch_{options.batch}": Path(folder, "0.mlpackage")}
        save(made.model, packages[f"batch_{options.batch}"])
        for batch in options.batches:
            packages[f"batch_{batch}"] = Path(folder, f"{batch}.mlpackage")
            save(to_model(program, target, options, batch).model, packages[f"batch_{batch}"])
        return combine(packages, path)
