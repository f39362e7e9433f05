"""The Core ML exporter: programs to ``.mlpackage`` by coremltools' ``torch.export`` front end.

A package is an ML program with static shapes. It is verified on any machine by evaluating the package's own program,
read back from disk (:mod:`edgetok.verify.mil`); on macOS Core ML itself runs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from edgetok.errors import MissingExtra
from edgetok.exporter import Exported, Runner
from edgetok.hookspecs import hookimpl

if TYPE_CHECKING:
    from edgetok.graph.program import Program
    from edgetok.precision import Precision
    from edgetok.target import Target

api_version = "1"

Three = tuple[float, float, float]


class Options(BaseModel):
    """Options of the Core ML exporter.

    Attributes:
        dtype: what the program computes in. The Neural Engine only runs fp16.
        io: what floating inputs and outputs are: fp32, or the same as ``dtype``. fp32 around an fp16 program costs
            casts, which leave the Neural Engine.
        minimum_deployment: the oldest system that opens the package; int4 weights need iOS 18.
        batch: the one batch size of the package.
        batches: further batch sizes, each a function ``batch_<n>`` of the same package over the same weights.
        shapes: ``static``: one shape per function; ``enumerated`` is refused, with what takes its place.
        image: the only input is a picture of 8-bit RGB pixels, normalised inside the package.
        image_rescale: pixels are multiplied by this first; ``optimize`` fills in the model's own, as in the next two.
        image_mean: then this is subtracted, per channel,
        image_std: and the result divided by this.
        palettize: store weights as indices of so many bits into tables of values; 0 does not.
        states: pairs ``input:output`` between commas, such as ``past:cache``: the package keeps them between calls as a
            state of the input's name, in fp16.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dtype: Literal["fp32", "fp16"] = "fp16"
    io: Literal["fp32", "same"] = "same"
    minimum_deployment: Literal["iOS17", "iOS18"] = "iOS18"
    batch: Annotated[int, Field(ge=1)] = 1
    batches: tuple[Annotated[int, Field(ge=1)], ...] = ()
    shapes: Literal["static", "enumerated"] = "static"
    image: bool = False
    image_rescale: Annotated[float, Field(gt=0)] = 1 / 255
    image_mean: Three = (0.5, 0.5, 0.5)
    image_std: Three = (0.5, 0.5, 0.5)
    palettize: Literal[0, 2, 4, 6, 8] = 0
    states: tuple[tuple[str, str], ...] = ()

    @field_validator("batches", "image_mean", "image_std", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """Numbers between commas, or a single one, as recipes and the command line give them."""
        if isinstance(value, str):
            return tuple(value.split(","))
        return (value,) if isinstance(value, int | float) else value

    @field_validator("states", mode="before")
    @classmethod
    def _paired(cls, value: Any) -> Any:
        """``input:output`` between commas, as recipes and the command line give them."""
        return tuple(tuple(pair.split(":")) for pair in value.split(",")) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _no_zero_spread(self) -> Options:
        if min(self.image_std) <= 0:
            raise ValueError("image_std holds positive numbers")
        return self


class CoreMLExporter:
    """Programs to Core ML; see :class:`Options`."""

    name: ClassVar[str] = "coreml"
    summary: ClassVar[str] = "Core ML packages, run by Core ML or by edgetok's MIL interpreter"
    suffix: ClassVar[str] = ".mlpackage"
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
        """Write the package ``<stem>.mlpackage`` into ``directory``.

        Args:
            program: what to export.
            target: which realisations, dtypes and schemes of quantisation to use.
            directory: where to write; it must exist.
            stem: file name without suffix.
            options: an :class:`Options`; None takes the target's defaults.
            expose: names of graph nodes whose values become extra outputs.

        Raises:
            MissingExtra: coremltools is not installed.
            TargetRefuses: the target does not run the dtype or the scheme of quantisation.
            ExportFailed: the toolchain cannot lower the program, or the options do not fit it.
        """
        _need("coremltools")
        from edgetok_exporters.coreml.export import export

        chosen = options if isinstance(options, Options) else Options.model_validate(dict(options or target.options))
        return export(program, target, directory, stem=stem, options=chosen, expose=expose)

    def check(self, target: Target, options: BaseModel, precision: Precision | None = None) -> None:
        """Refuse options and formats that no package for the target can have; coremltools is not imported.

        Raises:
            TargetRefuses: the target does not run the dtype or the scheme, or knows one function per package.
            ExportFailed: options contradict each other.
        """
        from edgetok_exporters.coreml.refusals import check_options

        assert isinstance(options, Options)
        check_options(precision, target, options)

    def simulates(self) -> bool:
        """Whether ``load`` opens files in the MIL interpreter: everywhere but on macOS."""
        import sys

        return sys.platform != "darwin"

    def load(self, entry: Path, *, threads: int | None = None) -> Runner:
        """Open a package: in Core ML on macOS, else in the MIL interpreter with ``threads`` torch threads.

        Raises:
            MissingExtra: coremltools is not installed.
            RuntimeFailed: the package is damaged, or cannot be evaluated here.
        """
        _need("coremltools")
        import sys

        if sys.platform == "darwin":
            from edgetok_exporters.coreml.predict import PredictRunner

            return PredictRunner(entry)
        from edgetok.verify.mil import MilRunner

        return MilRunner(entry, threads=threads)


def _need(*packages: str) -> None:
    from importlib.util import find_spec

    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise MissingExtra(
            f"the Core ML exporter needs {' and '.join(missing)}",
            why=f"not installed here: {', '.join(missing)}",
            hint="pip install 'edgetok[coreml]'",
        )


@hookimpl
def edgetok_exporters() -> list[type[CoreMLExporter]]:
    """This exporter."""
    return [CoreMLExporter]
