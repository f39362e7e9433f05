"""The PT2 exporter: programs to ``.pt2`` files that torch runs, without edgetok and without code of the model."""

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
    """Options of the PT2 exporter.

    Attributes:
        batch: ``dynamic``, or the one batch size the file accepts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch: Literal["dynamic"] | int = "dynamic"


class Pt2Exporter:
    """Programs to ``torch.export`` archives of plain ATen operations; see :class:`Options`."""

    name: ClassVar[str] = "pt2"
    summary: ClassVar[str] = "torch.export archive, run by torch"
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
        """Write ``<stem>.pt2`` into ``directory``.

        Raises:
            TargetRefuses: the program is to be quantised.
            ExportFailed: the program cannot be lowered.
        """
        from edgetok_exporters.pt2.archive import export

        refuse_precision(self.name, program)
        chosen = options if isinstance(options, Options) else Options.model_validate(dict(options or target.options))
        return export(program, target, directory, stem=stem, options=chosen, expose=expose)

    def load(self, entry: Path, *, threads: int | None = None) -> Runner:
        """Open a file in torch on the CPU. ``threads`` is torch's own number of threads, set for the whole process.

        Raises:
            RuntimeFailed: it is damaged, or holds anything but tensor operations.
        """
        from edgetok_exporters.pt2.archive import Pt2Runner

        return Pt2Runner(entry, threads=threads)


@hookimpl
def edgetok_exporters() -> list[type[Pt2Exporter]]:
    """This exporter."""
    return [Pt2Exporter]
