"""Several packages as functions of one, over weights stored once: one per token budget, or per batch size."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

from edgetok.errors import ExportFailed
from edgetok.silence import quiet
from edgetok_exporters.coreml.convert import toolchain
from edgetok_exporters.coreml.save import settled


def combine(packages: Mapping[str, Path], out: Path) -> tuple[Path, ...]:
    """Write one package with a function per given package.

    Args:
        packages: by the name of the function each becomes; the first is the default function. Each has one function.
        out: the ``.mlpackage`` to write; it must not exist.

    Returns:
        The package and the files in it.

    Raises:
        ExportFailed: there are no packages, something is at ``out``, or coremltools cannot join them.
    """
    if not packages or out.exists():
        raise ExportFailed(
            f"Cannot combine packages into {out.name}.",
            why="no packages are given" if not packages else "the destination exists",
        )
    ct = toolchain()
    try:
        with quiet(), redirect_stderr(StringIO()), redirect_stdout(StringIO()):
            functions = ct.utils.MultiFunctionDescriptor()
            for name, path in packages.items():
                functions.add_function(str(path), src_function_name="main", target_function_name=name)
            functions.default_function_name = next(iter(packages))
            ct.utils.save_multifunction(functions, str(out))
    except Exception as error:
        raise ExportFailed(
            f"coremltools cannot combine {', '.join(packages)}.",
            why=f"{type(error).__name__}: {str(error).strip()[:400]}",
            hint="Functions need iOS 18, and the same model behind every package.",
        ) from error
    return settled(out)
