"""How busy the machine is."""

from __future__ import annotations

import os
import time

from edgetok.errors import BenchRefused


def load_average() -> float | None:
    """The mean number of runnable processes over the last minute; None where the system does not say."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def require_quiet(limit: float = 0.5, *, wait: float = 0.0) -> float:
    """The load average, if it is at most ``limit``.

    Args:
        limit: runnable processes over the last minute.
        wait: seconds to wait for it to sink.

    Raises:
        BenchRefused: the machine is busier, or does not say how busy it is.
    """
    end = time.monotonic() + wait
    while (load := load_average()) is not None and load > limit and time.monotonic() < end:
        time.sleep(min(2.0, max(0.0, end - time.monotonic())))
    if load is None or load > limit:
        raise BenchRefused(
            "The machine is too busy to measure.",
            why=f"The load average is {'unknown' if load is None else f'{load:.2f}'}; the limit is {limit:.2f}.",
            hint="Stop other work and wait a minute.",
        )
    return load
