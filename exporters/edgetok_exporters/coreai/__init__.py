"""The Core AI exporter: programs to ``.aimodel`` assets by Apple's coreai-torch, which is in beta.

An asset is written on any machine that has the package. Only Apple's tools compile one, and only then does a runtime
open it: nothing is executed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from edgetok.errors import MissingExtra, RuntimeFailed
from edgetok.exporter import Exported, Runner, refuse_precision
from edgetok.hookspecs import hookimpl

if TYPE_CHECKING:
    from edgetok.graph.program import Program
    from edgetok.target import Target

api_version = "1"


class Options(BaseModel):
    """Options of the Core AI exporter.

    Attributes:
        batch: the one batch size of the asset.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch: Annotated[int, Field(ge=1)] = 1


class CoreAIExporter:
    """Programs to Core AI; see :class:`Options`."""

    name: ClassVar[str] = "coreai"
    summary: ClassVar[str] = "Core AI assets, which Apple's tools compile and run"
    suffix: ClassVar[str] = ".aimodel"
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
        """Write the asset ``<stem>.aimodel``, a directory, into ``directory``.

        Args:
            program: what to export.
            target: which realisations to use.
            directory: where to write; it must exist.
            stem: file name without suffix.
            options: an :class:`Options`; None takes the target's defaults.
            expose: names of graph nodes whose values become extra outputs.

        Raises:
            MissingExtra: coreai-torch is not installed.
            TargetRefuses: the program is to be quantised.
            ExportFailed: the toolchain cannot lower the program.
        """
        _need()
        from edgetok_exporters.coreai.export import export

        refuse_precision(self.name, program)
        chosen = options if isinstance(options, Options) else Options.model_validate(dict(options or target.options))
        return export(program, target, directory, stem=stem, options=chosen, expose=expose)

    def load(self, entry: Path, *, threads: int | None = None) -> Runner:
        """Refuse: nothing here executes an asset.

        Raises:
            MissingExtra: coreai-torch is not installed.
            RuntimeFailed: always.
        """
        _need()
        raise RuntimeFailed(
            f"{entry.name} cannot be run by edgetok.",
            why="Core AI's runtime opens what Apple's tools compiled; this asset is not compiled",
            hint="Open it in an app or in coreai.runtime on macOS 27, and compare with the bundle's vectors.",
        )


def _need() -> None:
    from importlib.util import find_spec

    if find_spec("coreai_torch") is None:
        raise MissingExtra(
            "the Core AI exporter needs coreai-torch",
            why="not installed here: coreai_torch",
            hint="pip install 'edgetok[coreai]'",
        )


@hookimpl
def edgetok_exporters() -> list[type[CoreAIExporter]]:
    """This exporter."""
    return [CoreAIExporter]
