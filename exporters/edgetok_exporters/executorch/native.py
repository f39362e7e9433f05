"""Keeping what native code prints off stdout and stderr, which carry our own results and words."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silent() -> Iterator[None]:
    """Drop what is written to the process's stdout and stderr inside the block, by whatever language."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved, nowhere = [os.dup(1), os.dup(2)], os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        yield
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        for kept, number in zip(saved, (1, 2), strict=True):
            os.dup2(kept, number)
            os.close(kept)
        os.close(nowhere)
