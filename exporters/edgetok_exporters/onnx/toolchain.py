"""onnxruntime's own quantisers. They work on files: in a temporary directory, and the result is read back."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize, quantize_dynamic
from onnxruntime.quantization import quantize_static as calibrate_and_quantize
from onnxruntime.quantization.execution_providers.qnn import get_qnn_qdq_config
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

from edgetok.errors import ExportFailed
from edgetok_exporters.onnx.save import INLINE_LIMIT, save, size_of_weights

Batches = Sequence[Mapping[str, np.ndarray]]
INT8_COMPUTE = 4
"""``accuracy_level`` of ``MatMulNBits`` that multiplies in int8."""


class Batched(CalibrationDataReader):  # type: ignore[misc]
    """Calibration batches, one after the other."""

    def __init__(self, batches: Batches) -> None:
        self._rest: Iterator[Mapping[str, np.ndarray]] = iter(batches)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next batch, or None."""
        batch = next(self._rest, None)
        return None if batch is None else dict(batch)


def quantize_dynamically(model: ir.Model, nodes: Collection[str]) -> ir.Model:
    """``MatMul`` nodes in int8, weights per channel, activations with the range they have at run time."""

    def run(source: Path, made: Path, large: bool) -> None:
        quantize_dynamic(
            source, made, ["MatMul"], per_channel=True, weight_type=QuantType.QInt8, nodes_to_quantize=sorted(nodes),
            use_external_data_format=large,
        )  # fmt: skip

    return _through_files(model, run)


def quantize_statically(model: ir.Model, nodes: Collection[str], batches: Batches) -> ir.Model:
    """``MatMul`` and ``Conv`` nodes in int8 by Q/DQ pairs, weights per channel, activations with calibrated ranges.

    The products of ``MatMul`` stay in floating point: what reads them computes there.
    """

    def run(source: Path, made: Path, large: bool) -> None:
        calibrate_and_quantize(
            source, made, Batched(batches), quant_format=QuantFormat.QDQ, op_types_to_quantize=["MatMul", "Conv"],
            per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            nodes_to_quantize=sorted(nodes), use_external_data_format=large,
            extra_options={"OpTypesToExcludeOutputQuantization": ["MatMul"]},
        )  # fmt: skip

    return _through_files(model, run)


def quantize_blocks(model: ir.Model, nodes: Collection[str], block: int, *, int8_compute: bool) -> ir.Model:
    """``MatMul`` nodes as ``MatMulNBits``: symmetric int4, one scale per ``block`` values along the inputs.

    Args:
        model: in fp32 or fp16.
        nodes: names.
        block: a power of 2, at least 16.
        int8_compute: whether activations may be rounded to int8, block by block, for speed.
    """

    def run(source: Path, made: Path, large: bool) -> None:
        level = INT8_COMPUTE if int8_compute else None
        quantizer = MatMulNBitsQuantizer(
            onnx.load(source), bits=4, block_size=block, is_symmetric=True, accuracy_level=level,
            nodes_to_include=sorted(nodes),
        )  # fmt: skip
        quantizer.process()
        quantizer.model.save_model_to_file(str(made), large)

    return _through_files(model, run)


def quantize_for_htp(model: ir.Model, excluded: Collection[str], batches: Batches) -> ir.Model:
    """All nodes but ``excluded`` by Q/DQ pairs as Qualcomm's HTP wants them: uint16 activations, uint8 weights."""

    def run(source: Path, made: Path, large: bool) -> None:
        config = get_qnn_qdq_config(
            str(source), Batched(batches), activation_type=QuantType.QUInt16, weight_type=QuantType.QUInt8,
            nodes_to_exclude=sorted(excluded) or None,
        )  # fmt: skip
        config.use_external_data_format = large
        quantize(str(source), str(made), config)

    return _through_files(model, run)


def _through_files(model: ir.Model, run: Callable[[Path, Path, bool], None]) -> ir.Model:
    large = size_of_weights(model) > INLINE_LIMIT
    with tempfile.TemporaryDirectory(prefix="edgetok-quantise-") as folder:
        source, made = save(model, Path(folder), "float", "auto")[0], Path(folder, "quantised.onnx")
        _forget_shapes(source)
        try:
            with _quiet():
                run(source, made, large)
        except Exception as error:
            raise ExportFailed(
                f"onnxruntime cannot quantise {model.graph.name!r}",
                why=f"{type(error).__name__}: {str(error).strip()[:400]}",
                hint="name the weights to leave alone in the option skip of the plugin quantize",
            ) from error
        loaded = ir.load(made)
        ir.external_data.load_to_model(loaded)
    return _plain(loaded, model)


def _forget_shapes(path: Path) -> None:
    """Drop the shapes of inner values: onnxruntime infers them again and calls any difference an error."""
    proto = onnx.load(path, load_external_data=False)
    del proto.graph.value_info[:]
    onnx.save(proto, path)


def _plain(made: ir.Model, original: ir.Model) -> ir.Model:
    """Without the toolchain's marks, so that equal programs give equal bytes."""
    made.producer_name, made.producer_version = original.producer_name, original.producer_version
    made.metadata_props.clear()
    made.graph.name = original.graph.name
    return made


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence advice that no user can act on."""
    level: Any = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(level)
