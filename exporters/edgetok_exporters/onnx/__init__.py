"""The ONNX exporter: programs to ``.onnx`` files by ``torch.onnx``'s dynamo path, run by onnxruntime.

Every ``edgetok::`` primitive is one node until the last step, where it becomes standard operators: inlined, or as a
function of the ``edgetok`` domain that a runtime with a native kernel may replace.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

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
    """Options of the ONNX exporter.

    Attributes:
        opset: version of the standard operators. From 23 on attention is one ``Attention`` node: in onnxruntime
            faster for dense models, hardly for merged ones, whose sizes are added to the scores.
        dtype: what weights and activations are; merge decisions are always computed in fp32.
        io: what floating inputs and outputs are: fp32, or the same as ``dtype``.
        functions: ``inline`` writes each primitive as standard operators, ``keep`` as a function of domain ``edgetok``.
        batch: ``dynamic``, or the one batch size the file accepts.
        external_data: whether weights go into a file of their own; ``auto`` does so over 2 GB.
        after_gelu: in int8, what activations behind a GELU, SiLU or the like are. One range for such a tensor leaves
            hardly a step to most of its values, so ``float`` keeps them (weights are still int8); ``int8`` is faster.
        packed_activations: what products with packed weights make of their inputs: ``int8`` rounds every 16 to 256
            neighbours to 8 bits with a scale of their own (``accuracy_level=4`` of MatMulNBits); 2 and 8
            bits are then computed with as they are. Parity has no tight bound for it; the report's accuracy says more.
        format: ``onnx``, or onnxruntime's own ``ort``, which its reduced builds for phones and browsers read.
        soc: for Qualcomm's HTP, the number of the SoC in Qualcomm's SDK: 43 is SM8550 (Snapdragon 8 Gen 2), 57 SM8650,
            69 SM8750. One without floating point, such as 30 (SM8350) or 0 (unknown), runs no merged model.
        context: for Qualcomm's HTP, deliver the compiled binary instead of the graph: it loads at once, on that SoC
            and with that version of the SDK only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    opset: Annotated[int, Field(ge=18, le=24)] = 20
    dtype: Literal["fp32", "fp16"] = "fp32"
    io: Literal["fp32", "same"] = "fp32"
    functions: Literal["inline", "keep"] = "inline"
    batch: Literal["dynamic"] | Annotated[int, Field(ge=1)] = "dynamic"
    external_data: Literal["auto", "always", "never"] = "auto"
    after_gelu: Literal["float", "int8"] = "float"
    packed_activations: Literal["float", "int8"] = "float"
    format: Literal["onnx", "ort"] = "onnx"
    soc: Annotated[int, Field(ge=0)] = 43
    context: bool = False


class OnnxExporter:
    """Programs to ONNX; see :class:`Options`."""

    name: ClassVar[str] = "onnx"
    summary: ClassVar[str] = "ONNX, run by onnxruntime"
    suffix: ClassVar[str] = ".onnx"
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
        """Write ``<stem>.onnx`` (and ``<stem>.onnx.data`` with external data) or ``<stem>.ort`` into ``directory``.

        Args:
            program: what to export.
            target: which realisations, dtypes and shapes to use.
            directory: where to write; it must exist.
            stem: file name without suffix.
            options: an :class:`Options`; None takes the target's defaults.
            expose: names of graph nodes whose values become extra outputs.

        Raises:
            MissingExtra: onnx or onnxscript is not installed; or onnxruntime, to quantise.
            ExportFailed: the toolchain cannot lower the program, or the options do not fit it.
            TargetRefuses: the program's precision is none of the target's.
        """
        _need("onnx", "onnxscript")
        from edgetok_exporters.onnx.export import export

        chosen = options if isinstance(options, Options) else Options.model_validate(dict(options or target.options))
        if program.precision is not None or chosen.format == "ort":
            _need("onnxruntime")
        return export(program, target, directory, stem=stem, options=chosen, expose=expose)

    def check(self, target: Target, options: BaseModel, precision: Precision | None = None) -> None:
        """Refuse options and formats that no file for the target can have; nothing is imported or made.

        Raises:
            ExportFailed: the options do not fit the target.
            TargetRefuses: the formats do not.
        """
        from edgetok_exporters.onnx.refusals import check_formats, check_options

        assert isinstance(options, Options)
        check_options(target, options)
        if precision is not None:
            check_formats(precision, target, options.dtype)

    def load(self, entry: Path, *, threads: int | None = None) -> Runner:
        """Open a file in onnxruntime with ``threads`` threads inside an operator (None: all cores).

        It runs on the CPU; one made for Qualcomm's HTP runs there, on x86 in its emulator.

        Raises:
            MissingExtra: onnxruntime is not installed, or onnxruntime-qnn for such a file.
            RuntimeFailed: the file is no ONNX file, or onnxruntime refuses it.
        """
        _need("onnxruntime")
        from edgetok_exporters.onnx.runner import OnnxRunner

        return OnnxRunner(entry, threads=threads)


def _need(*packages: str) -> None:
    from importlib.util import find_spec

    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise MissingExtra(
            f"the ONNX exporter needs {' and '.join(missing)}",
            why=f"not installed here: {', '.join(missing)}",
            hint="pip install 'edgetok[onnx]'",
        )


@hookimpl
def edgetok_exporters() -> list[type[OnnxExporter]]:
    """This exporter."""
    return [OnnxExporter]
