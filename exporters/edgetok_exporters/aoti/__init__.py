"""The AOTInductor exporter: programs to packages of compiled kernels that torch loads without compiling anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from edgetok.exporter import Exported, Runner, refuse_precision
from edgetok.hookspecs import hookimpl

if TYPE_CHECKING:
    from edgetok.graph.program import Program
    from edgetok.target import Target

api_version = "1"


class Options(BaseModel):
    """Options of the AOTInductor exporter.

    Attributes:
        device: what to compile for; it must be on this machine.
        batch: ``dynamic``, or the one batch size the package accepts.
        max_autotune: try several kernels for every matrix product and keep the fastest; takes minutes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: Literal["cpu", "cuda"] = "cuda"
    batch: Literal["dynamic"] | int = "dynamic"
    max_autotune: bool = False


class AotiExporter:
    """Programs to AOTInductor packages; see :class:`Options`.

    A package is native code: load only what you made yourself.
    """

    name: ClassVar[str] = "aoti"
    summary: ClassVar[str] = "AOTInductor package of compiled kernels, run by torch"
    suffix: ClassVar[str] = ".pt2"
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
        """Compile and write ``<stem>.pt2`` and ``<stem>.json`` (the names of inputs and outputs) into ``directory``.

        Raises:
            TargetRefuses: the program is to be quantised.
            ExportFailed: the program cannot be lowered or compiled, or the device is not on this machine.
        """
        from edgetok_exporters.aoti.package import export

        refuse_precision(self.name, program)
        chosen = options if isinstance(options, Options) else Options.model_validate(dict(options or target.options))
        return export(program, target, directory, stem=stem, options=chosen, expose=expose)

    def load(self, entry: Path, *, threads: int | None = None) -> Runner:
        """Load a package; this runs native code from the file. ``threads`` is torch's own number of threads.

        Raises:
            RuntimeFailed: torch refuses it, or its device is not here.
        """
        from edgetok_exporters.aoti.package import AotiRunner

        return AotiRunner(entry, threads=threads)


@hookimpl
def edgetok_exporters() -> list[type[AotiExporter]]:
    """This exporter."""
    return [AotiExporter]
