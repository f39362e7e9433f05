"""How long work tells people where it is: on stderr, never on stdout."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID


class Progress(Protocol):
    """What work reports to.

    ``with progress.stage("compare", total=8): ... progress.advance()``; stages may nest, and ``advance`` counts in
    the innermost.
    """

    def stage(self, name: str, total: int | None = None) -> AbstractContextManager[None]:
        """Name what happens inside the block, and how many steps it has where that is known."""

    def advance(self, steps: int = 1) -> None:
        """Count steps of the current stage."""

    def log(self, message: str) -> None:
        """Say one line."""


class Silent:
    """Reports nothing."""

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[None]:
        """Nothing."""
        yield

    def advance(self, steps: int = 1) -> None:
        """Nothing."""

    def log(self, message: str) -> None:
        """Nothing."""


class Lines:
    """One line per finished stage with its seconds: for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._depth = 0

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[None]:
        """Print the stage and how long it took once it is done."""
        begin = time.perf_counter()
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
        steps = f" ({total})" if total else ""
        self.log(f"{'  ' * self._depth}{name}{steps}: {time.perf_counter() - begin:.1f} s")

    def advance(self, steps: int = 1) -> None:
        """Nothing: lines tell whole stages."""

    def log(self, message: str) -> None:
        """Print one line."""
        self._console.print(message, markup=False, highlight=False, soft_wrap=True)


class Bars(Lines):
    """A live line per running stage: for terminals."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Live

        super().__init__(console)
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn())
        self._live = Live(*columns, TimeElapsedColumn(), console=console, transient=True)
        self._tasks: list[TaskID] = []

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[None]:
        """Show the stage while it runs; leave one line when it is done."""
        if not self._tasks:
            self._live.start()
        task = self._live.add_task(f"{'  ' * len(self._tasks)}{name}", total=total)
        self._tasks.append(task)
        try:
            with super().stage(name, total):
                yield
        finally:
            self._tasks.remove(task)
            self._live.remove_task(task)
            if not self._tasks:
                self._live.stop()

    def advance(self, steps: int = 1) -> None:
        """Move the innermost bar."""
        if self._tasks:
            self._live.advance(self._tasks[-1], steps)


def for_stderr(*, quiet: bool = False) -> Progress:
    """Bars on a terminal, lines elsewhere, nothing when quiet."""
    if quiet:
        return Silent()
    from rich.console import Console

    console = Console(stderr=True)
    return Bars(console) if console.is_terminal else Lines(console)
