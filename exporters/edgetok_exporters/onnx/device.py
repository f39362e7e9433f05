"""Where onnxruntime runs a file: on the CPU, or on what the file's metadata names.

A file for Qualcomm's HTP says so and for which SoC; onnxruntime-qnn then runs it, on x86 in Qualcomm's own emulator.
The SoC must be named: for an unknown one the compiler assumes a chip without floating point, and refuses every graph
that has any (``Failed to finalize QNN graph ... QNN_COMMON_ERROR_MEM_ALLOC``).
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import onnxruntime as ort

from edgetok.errors import MissingExtra, RuntimeFailed
from edgetok_exporters.onnx.header import DELEGATE, HTP, SOC

PROVIDER = "QNNExecutionProvider"


def open_session(entry: Path, options: ort.SessionOptions, metadata: Mapping[str, str]) -> ort.InferenceSession:
    """Open a file where its metadata says.

    Raises:
        MissingExtra: onnxruntime-qnn is not installed.
        RuntimeFailed: the metadata names something else.
    """
    delegate = metadata.get(DELEGATE)
    if delegate is None:
        return ort.InferenceSession(str(entry), options, providers=["CPUExecutionProvider"])
    soc = metadata.get(SOC, "")
    if delegate != HTP or not soc.isdecimal():
        raise RuntimeFailed(
            f"{entry.name} is for another device",
            why=f"its metadata says {delegate!r}, soc {soc!r}",
            hint=f"known: {HTP}",
        )
    with quiet_stdout():
        add_htp(options, int(soc))
        return ort.InferenceSession(str(entry), options)


def add_htp(options: ort.SessionOptions, soc: int) -> None:
    """Let a session place what it can on the HTP of one SoC; the CPU runs the rest.

    Raises:
        MissingExtra: onnxruntime-qnn is not installed.
        RuntimeFailed: its library does not load.
    """
    if find_spec("onnxruntime_qnn") is None:
        raise MissingExtra(
            "files for Qualcomm's HTP need onnxruntime-qnn",
            why="not installed here",
            hint="pip install onnxruntime-qnn",
        )
    onnxruntime_qnn: Any = import_module("onnxruntime_qnn")
    devices = _devices()
    if not devices:
        try:
            ort.register_execution_provider_library(PROVIDER, onnxruntime_qnn.get_library_path())
        except Exception as error:
            raise RuntimeFailed("onnxruntime-qnn does not load", why=str(error)[:400]) from error
        devices = _devices()
    settings = {"backend_path": onnxruntime_qnn.get_qnn_htp_path(), "soc_model": str(soc)}
    options.add_provider_for_devices(devices[:1], settings)


def _devices() -> list[Any]:
    return [device for device in ort.get_ep_devices() if device.ep_name == PROVIDER]


@contextmanager
def quiet_stdout() -> Iterator[None]:
    """Drop what native code prints: Qualcomm's library greets on stdout, which may carry our results."""
    sys.stdout.flush()
    libc = ctypes.CDLL("msvcrt" if os.name == "nt" else None)
    saved, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        libc.fflush(None)
        os.dup2(saved, 1)
        os.close(saved)
        os.close(nowhere)
