"""Running a ``.pte`` file here, in ExecuTorch's runtime on the CPU."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from executorch.extension.pybindings import portable_lib
from executorch.runtime import Runtime

from edgetok.errors import RuntimeFailed
from edgetok.exporter import Runner, check_names
from edgetok_exporters.executorch.container import DELEGATE, INPUTS, OUTPUTS, check_container
from edgetok_exporters.executorch.twin import twin_of

_DTYPES = {
    0: torch.uint8, 1: torch.int8, 2: torch.int16, 3: torch.int32, 4: torch.int64, 5: torch.float16, 6: torch.float32,
    7: torch.float64, 11: torch.bool, 15: torch.bfloat16,
}  # fmt: skip
"""ExecuTorch's numbers of element types."""


HERE = frozenset({"", "xnnpack"})
"""Delegates that the runtime of this machine has; '' for its portable kernels."""


def open_file(entry: Path, *, threads: int | None = None) -> Runner:
    """Open a file where it runs, or in its simulation where it has a twin.

    Raises:
        RuntimeFailed: the file is damaged, or needs what is not here.
    """
    if twin_of(entry).exists():
        from edgetok_exporters.executorch.twin_runner import TwinRunner

        return TwinRunner(entry, threads=threads)
    return ExecutorchRunner(entry, threads=threads)


class ExecutorchRunner:
    """A ``.pte`` file loaded by ExecuTorch. Calling it maps named arrays to named arrays.

    Args:
        entry: the file.
        threads: size of the runtime's one pool of threads, shared by all files of this process; None leaves it.

    Attributes:
        input_names: in the program's order.
        output_names: in the program's order, then exposed values.

    Raises:
        RuntimeFailed: the file is damaged, or needs what this runtime does not have.
    """

    def __init__(self, entry: Path, *, threads: int | None = None) -> None:
        check_container(entry)
        if threads is not None and threads != portable_lib._threadpool_get_thread_count():
            portable_lib._unsafe_reset_threadpool(threads)
        self.entry = entry
        try:
            self._program = Runtime.get().load_program(entry)
            self.input_names, self.output_names = (self._names(method) for method in (INPUTS, OUTPUTS))
            self._check_delegate(*self._names(DELEGATE))
            self._method: Any = self._program.load_method("forward")
        except (RuntimeError, KeyError, ValueError) as error:
            raise _failure(f"ExecuTorch cannot load {entry.name}.", error) from error
        meta = self._method.metadata
        self._takes = [meta.input_tensor_meta(i) for i in range(meta.num_inputs())]

    def _names(self, method: str) -> tuple[str, ...]:
        if method not in self._program.method_names:
            raise ValueError(f"it has no {method}: edgetok did not make it")
        loaded: Any = self._program.load_method(method)
        return tuple(json.loads(loaded.execute([])[0]))

    def _check_delegate(self, delegate: str) -> None:
        if delegate not in HERE:
            raise RuntimeFailed(
                f"{self.entry.name} cannot run on this machine.",
                why=f"it is for the delegate {delegate}, which ExecuTorch's runtime for Python does not have",
                hint="Run it on the device, or export for executorch-xnnpack to run it here.",
            )

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run once.

        Args:
            inputs: one array per name in ``input_names``, of the file's shapes and dtypes.

        Raises:
            RuntimeFailed: names, shapes or dtypes do not fit, or an operator fails.
        """
        check_names(self.entry.name, self.input_names, inputs)
        tensors = [torch.from_numpy(np.ascontiguousarray(inputs[name])) for name in self.input_names]
        self._check(tensors)
        try:
            values = self._method.execute(tensors)
        except RuntimeError as error:
            raise _failure(f"ExecuTorch cannot run {self.entry.name}.", error) from error
        return {name: value.numpy() for name, value in zip(self.output_names, values, strict=True)}

    def zeros(self) -> dict[str, np.ndarray]:
        """Inputs of the file's shapes and dtypes, all 0."""
        shapes = [(tuple(meta.sizes()), _DTYPES[meta.dtype()]) for meta in self._takes]
        return {n: torch.zeros(s, dtype=d).numpy() for n, (s, d) in zip(self.input_names, shapes, strict=True)}

    def _check(self, tensors: list[torch.Tensor]) -> None:
        for name, tensor, meta in zip(self.input_names, tensors, self._takes, strict=True):
            shape, dtype = tuple(meta.sizes()), _DTYPES.get(meta.dtype())
            if tuple(tensor.shape) != shape or tensor.dtype != dtype:
                raise RuntimeFailed(
                    f"{self.entry.name} was given an input it cannot take",
                    why=f"{name} is {list(shape)} {dtype}; given: {list(tensor.shape)} {tensor.dtype}",
                    hint="its shapes are fixed: export it for another batch size with exporter.batch",
                )


def _failure(what: str, error: Exception) -> RuntimeFailed:
    return RuntimeFailed(
        what,
        why=f"{type(error).__name__}: {str(error).strip()[:400]}",
        hint="Export it again with the ExecuTorch version that is installed here.",
    )
