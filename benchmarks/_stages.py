"""Where the time of an export goes, stage by stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any
from unittest.mock import patch

Places = Mapping[str, tuple[Any, str]]
"""Stages by name, each the function that is one: its owner and its name there."""


@dataclass
class Stages:
    """A stopwatch. Time in a stage inside another counts for the inner one alone.

    Attributes:
        seconds: by stage, summed over its calls, in the order in which they first ended.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    _inner: list[float] = field(default_factory=list)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Time a block."""
        started = time.perf_counter()
        self._inner.append(0.0)
        try:
            yield
        finally:
            taken = time.perf_counter() - started
            self.seconds[stage] = self.seconds.get(stage, 0.0) + taken - self._inner.pop()
            if self._inner:
                self._inner[-1] += taken

    @contextmanager
    def watching(self, places: Places) -> Iterator[None]:
        """Time every call of these functions while the block runs."""
        with ExitStack() as stack:
            for stage, (owner, name) in places.items():
                stack.enter_context(patch.object(owner, name, self._watched(stage, vars(owner)[name])))
            yield

    def _watched(self, stage: str, found: Any) -> Any:
        function: Callable[..., Any] = found.__func__ if isinstance(found, staticmethod) else found

        @wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            with self.timed(stage):
                return function(*args, **kwargs)

        return staticmethod(watched) if isinstance(found, staticmethod) else watched


def executorch_places() -> Places:
    """The stages of an export to XNNPACK: ours, the toolchain's, and the file's first run in a process of its own."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.backends.xnnpack.xnnpack_preprocess import XnnpackBackend
    from executorch.exir.program import _program

    from edgetok_exporters.executorch import export

    return {
        "lower": (export, "lower"),
        "to_edge": (_program, "_gen_edge_manager_for_partitioners"),
        "partition": (XnnpackPartitioner, "partition"),
        "delegate": (XnnpackBackend, "preprocess"),
        "hand over": (_program.EdgeProgramManager, "to_backend"),
        "emit": (_program.EdgeProgramManager, "to_executorch"),
        "trial": (export, "try_file"),
    }
