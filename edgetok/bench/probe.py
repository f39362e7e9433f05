"""Whether a file kills its runtime: tried in a process of its own before it is opened in this one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edgetok.bench.cold import measure_cold

if TYPE_CHECKING:
    import numpy as np

    from edgetok.exporter import Exporter


def probe(exporter: Exporter, entry: Path, inputs: Mapping[str, np.ndarray], *, threads: int = 1) -> None:
    """Load a file and run it once in a fresh process; native runtimes trust what they read.

    Raises:
        RuntimeFailed: the process fails, is killed, or takes longer than ten minutes.
    """
    measure_cold(exporter, entry, inputs, threads=threads, processes=1)
