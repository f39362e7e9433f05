"""Stages of a run: shown to people while they last, and timed for the report."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgetok.progress import Progress


class Clock:
    """A progress display that remembers how long each stage took, in seconds."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[None]:
        """Time and show what happens inside the block."""
        begin = time.perf_counter()
        with self.progress.stage(name, total):
            yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin
