"""What Qualcomm's compiler takes of a file, asked in a process of its own; and its binary, if that is wanted."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from edgetok.errors import ExportFailed, MissingExtra
from edgetok.exporter import Delegation
from edgetok_exporters.onnx.header import HTP, metadata_for

if TYPE_CHECKING:
    from edgetok_exporters.onnx.partial import Refusal

TIMEOUT = 1800
"""Seconds that the compiler may take."""
FORMATS = ("QuantizeLinear", "DequantizeLinear")
"""Not operations: they say in which format the operations around them compute."""


def measure(entry: Path, soc: int, *, context: bool) -> Delegation | None:
    """Compile a file for the HTP and count what runs there.

    Args:
        entry: an ``.onnx`` file with a static batch; with ``context`` it is replaced by one that holds the binary.
        soc: number of the SoC.
        context: keep the compiled binary.

    Returns:
        None where onnxruntime-qnn is not installed.

    What the compiler refuses is left to the CPU (:mod:`~edgetok_exporters.onnx.partial`), as long as that is the
    smaller part.

    Raises:
        ExportFailed: the compiler refuses most of the graph, or its process dies.
        MissingExtra: a binary is wanted, and onnxruntime-qnn is not installed.
    """
    if find_spec("onnxruntime_qnn") is None:
        if context:
            raise MissingExtra("a context binary needs onnxruntime-qnn", hint="pip install onnxruntime-qnn")
        return None
    refused = _left_to_cpu(entry, soc)
    with tempfile.TemporaryDirectory(prefix="edgetok-htp-") as folder:
        made = Path(folder, "context.onnx")
        placed = _ask(entry, soc, made if context else None)
        if context:
            model = ir.load(made)
            model.metadata_props.update(metadata_for(HTP, soc))
            ir.save(model, entry)
    return _count(placed, entry, soc, refused)


def _left_to_cpu(entry: Path, soc: int) -> tuple[Refusal, ...]:
    """What had to be left to the CPU, in the file itself; nothing where the compiler takes the whole.

    Raises:
        ExportFailed: it takes less than half of the operations.
    """
    try:
        _ask(entry, soc, None)
        return ()
    except ExportFailed as whole:
        from edgetok_exporters.onnx.partial import leave_to_cpu

        refused = leave_to_cpu(entry, lambda piece: _said(piece, soc))
        taken = _count(_ask(entry, soc, None), entry, soc, refused) if _said(entry, soc) is None else None
        if taken is None or taken.inside <= sum(taken.outside.values()):
            kinds = f"; of {len(refused)} kinds: {'; '.join(map(str, refused))}"[:600] if refused else ""
            raise _refused(entry, soc, f"{whole.why}{kinds}") from whole
        return refused


def _said(piece: Path, soc: int) -> str | None:
    """What the compiler says to a file that it refuses."""
    try:
        _ask(piece, soc, None)
    except ExportFailed as error:
        return error.why
    return None


def _ask(entry: Path, soc: int, context: Path | None) -> list[dict[str, Any]]:
    request = json.dumps({"entry": str(entry), "soc": soc, "context": str(context) if context else None})
    command = [sys.executable, "-m", "edgetok_exporters.onnx.htp"]
    try:
        done = subprocess.run(command, input=request, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired as error:
        raise _refused(entry, soc, f"the compiler took longer than {TIMEOUT} s") from error
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError) as error:
        raise _refused(entry, soc, f"its process ended with {done.returncode}: {done.stderr[-300:]}") from error
    if "error" in answer:
        raise _refused(entry, soc, answer["error"])
    placed: list[dict[str, Any]] = answer["placed"]
    return placed


def _count(placed: list[dict[str, Any]], entry: Path, soc: int, refused: Sequence[Refusal] = ()) -> Delegation:
    inside = [piece["ops"] for piece in placed if piece["htp"]]
    outside: Counter[str] = sum((Counter(piece["ops"]) for piece in placed if not piece["htp"]), Counter())
    operations = sum(n for ops in inside for op, n in ops.items() if op not in FORMATS)
    return Delegation(
        delegate=HTP,
        inside=operations,
        outside=dict(sorted(outside.items())),
        partitions=len(inside),
        bytes=entry.stat().st_size,
        facts={"soc": soc, "nodes with formats": sum(n for ops in inside for n in ops.values()), **_facts(refused)},
        how="nodes that onnxruntime assigned to QNNExecutionProvider after compiling the graph; inside without Q/DQ",
    )


def _facts(refused: Sequence[Refusal]) -> dict[str, str | int]:
    if not refused:
        return {}
    from edgetok_exporters.onnx.partial import summary

    return summary(refused)


def _refused(entry: Path, soc: int, why: str) -> ExportFailed:
    return ExportFailed(
        f"Qualcomm's compiler refuses {entry.name} for SoC {soc}",
        why=why,
        hint="try another exporter.soc (43 SM8550, 57 SM8650, 69 SM8750), or without the plugin quantize",
    )
