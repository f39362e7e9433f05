"""The ExecuTorch exporter: programs to ``.pte`` files for XNNPACK, Core ML, Vulkan or the portable kernels.

A program is lowered to plain ATen with one batch size, quantised where it declares formats, and given to the
partitioner of the target's delegate. What was made is loaded and run in a process of its own before it is delivered.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from edgetok.errors import MissingExtra
from edgetok.exporter import Exported, Runner
from edgetok.hookspecs import hookimpl

if TYPE_CHECKING:
    from edgetok.graph.program import Program
    from edgetok.precision import Precision
    from edgetok.target import Target

api_version = "1"


class Options(BaseModel):
    """Options of the ExecuTorch exporter.

    Attributes:
        batch: the one batch size the file accepts.
        bundled: also write ``<stem>.bpte``, the same program with a test input and its expected outputs inside.
        accelerator: the Ethos-U to compile for, as Vela names it; other delegates do not read it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch: Annotated[int, Field(ge=1)] = 1
    bundled: bool = False
    accelerator: Annotated[str, Field(pattern=r"^ethos-u(55|65|85)-\d+$")] = "ethos-u85-256"


class ExecutorchExporter:
    """Programs to ExecuTorch; see :class:`Options`."""

    name: ClassVar[str] = "executorch"
    summary: ClassVar[str] = "ExecuTorch programs for phones and other devices"
    suffix: ClassVar[str] = ".pte"
    Options: ClassVar[type[BaseModel]] = Options

    def export(
        self,
        program: Program,
        target: Target,
        directory: Path,
        *,
        stem: str = "model",
        options: BaseModel | None = None,
        expose: Sequence[str] = (),
    ) -> Exported:
        """Write ``<stem>.pte`` (and ``<stem>.bpte`` where bundled) into ``directory``.

        Names of inputs and outputs are in the file, as constant methods ``edgetok_inputs`` and ``edgetok_outputs``.

        Args:
            program: what to export.
            target: which delegate and realisations to use.
            directory: where to write; it must exist.
            stem: file name without suffix.
            options: an :class:`Options`; None takes the target's defaults.
            expose: names of graph nodes whose values become extra outputs.

        Raises:
            MissingExtra: executorch is not installed.
            TargetRefuses: the program declares formats that the target does not run.
            ExportFailed: the toolchain cannot lower the program, or its runtime lacks a kernel that the file needs.
        """
        _need()
        from edgetok_exporters.executorch.export import export

        chosen = options if isinstance(options, Options) else Options.model_validate(dict(options or target.options))
        return export(program, target, directory, stem=stem, options=chosen, expose=expose)

    def check(self, target: Target, options: BaseModel, precision: Precision | None = None) -> None:
        """Refuse formats that no file for the target can have; nothing of executorch is imported.

        Raises:
            TargetRefuses: groups of int4 weights that XNNPACK has no kernels for.
        """
        if precision is not None and precision.scheme == "int4-dynamic":
            from edgetok_exporters.executorch.quantise import check_groups

            check_groups(precision)

    def load(self, entry: Path, *, threads: int | None = None) -> Runner:
        """Open a file in ExecuTorch's runtime on the CPU; one for an Ethos-U in a simulation, by its twin.

        ``threads`` sizes the runtime's one pool of threads, which all files of this process share; None leaves it. A
        file for a delegate that this machine does not have is refused.

        Raises:
            MissingExtra: executorch is not installed.
            RuntimeFailed: the file is none, or is damaged, or needs what the runtime here does not have.
        """
        _need()
        from edgetok_exporters.executorch.runner import open_file

        return open_file(entry, threads=threads)


def _need() -> None:
    from importlib.util import find_spec

    if find_spec("executorch") is None:
        raise MissingExtra(
            "the ExecuTorch exporter needs executorch",
            why="not installed here: executorch",
            hint="pip install 'edgetok[executorch]'",
        )


@hookimpl
def edgetok_exporters() -> list[type[ExecutorchExporter]]:
    """This exporter."""
    return [ExecutorchExporter]
