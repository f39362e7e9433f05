"""What no package for a target can be, known from options and formats alone; nothing of coremltools is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgetok.errors import ExportFailed, TargetRefuses

if TYPE_CHECKING:
    from edgetok.precision import Precision
    from edgetok.target import Target
    from edgetok_exporters.coreml import Options


def check_options(precision: Precision | None, target: Target, options: Options) -> None:
    """Refuse options and formats that the target cannot have.

    Raises:
        TargetRefuses: it does not run the dtype or the scheme, or knows one function per package.
        ExportFailed: options contradict each other.
    """
    from edgetok_exporters.coreml import compress

    if options.dtype not in target.dtypes:
        raise TargetRefuses(
            f"target {target.name!r} does not run {options.dtype}",
            why=f"its dtypes are {', '.join(target.dtypes)}",
            hint="set exporter.dtype to one of these, or choose another target",
        )
    compress.check(precision, target, options)
    if options.shapes == "enumerated":
        raise TargetRefuses(
            "Packages with enumerated shapes are not made.",
            why="from a program whose batch is free, coremltools 9 makes linear layers with int32 weights out of "
            "sort-free matching, which is no valid ML program",
            hint="batches=2,4 gives the package a function for each further batch size, over one set of weights.",
        )
    if options.batches and options.minimum_deployment == "iOS17":
        raise TargetRefuses(
            "iOS 17 knows one function per package.",
            why=f"batches {options.batches} would be functions",
            hint="Export one package per batch size, or set minimum_deployment=iOS18.",
        )
    _check_states(options)
    if len({options.batch, *options.batches}) != 1 + len(options.batches):
        raise ExportFailed(
            "A batch size is named twice.",
            why=f"batch {options.batch}, batches {', '.join(map(str, options.batches))}",
            hint="Leave it out of batches: batch is in the package already.",
        )


def _check_states(options: Options) -> None:
    if not options.states:
        return
    given = f"states {', '.join(':'.join(pair) for pair in options.states)}"
    why = hint = ""
    if options.minimum_deployment == "iOS17":
        why, hint = f"{given}; iOS 17 knows no states", "Set minimum_deployment=iOS18, or pass the cache in and out."
    elif options.dtype != "fp16":
        why, hint = f"{given}; states are fp16, and dtype is {options.dtype}", "Set dtype=fp16."
    elif options.batches:
        why, hint = f"{given}; batches would be functions with states of other shapes", "Export a package for each."
    if why:
        raise TargetRefuses("No such package can keep states.", why=why, hint=hint)
    names = [name for pair in options.states for name in pair]
    inputs, outputs = names[::2], names[1::2]
    if len({*inputs}) < len(inputs) or len({*outputs}) < len(outputs):
        raise ExportFailed("A state is named twice.", why=given, hint="Each input and each output is in one pair.")
