"""Stages of a run: shown to people while they last, timed for the report, and where Ctrl-C is heard at the latest."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgetok.progress import Progress


class Clock:
    """A progress display that remembers how long each stage took, in seconds."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.seconds: dict[str, float] = {}
        self._interrupted = False

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[None]:
        """Time and show what happens inside the block.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed earlier, and something swallowed it.
        """
        self._hear()
        begin = time.perf_counter()
        with self.progress.stage(name, total):
            yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin
        self._hear()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Make sure that Ctrl-C inside the block ends it.

        Libraries swallow a ``KeyboardInterrupt`` that reaches them in a destructor or a callback, or turn it into an
        error of their own; it is remembered here and raised again. Does nothing outside the main thread, or where the
        program has a handler of its own.
        """
        mine = threading.current_thread() is threading.main_thread()
        if not mine or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield
            return
        signal.signal(signal.SIGINT, self._remember)
        try:
            yield
        except KeyboardInterrupt:
            exec("")  # after an interrupt inside an exec, CPython exits by signal in place of a status; this resets it
            raise
        except Exception as error:
            if self._interrupted:
                raise KeyboardInterrupt from error
            raise
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self._interrupted = True
        raise KeyboardInterrupt

    def _hear(self) -> None:
        if self._interrupted:
            raise KeyboardInterrupt
