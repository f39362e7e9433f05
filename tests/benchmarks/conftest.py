"""Modules of ``benchmarks``, which import each other as scripts do."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def benchmark(repository: Path) -> Iterator[Callable[[str], ModuleType]]:
    """``benchmark("block_share")``: a module by name, imported anew for every file of tests."""
    folder = str(repository / "benchmarks")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield importlib.import_module
    for name in [n for n, module in sys.modules.items() if str(getattr(module, "__file__", "")).startswith(folder)]:
        del sys.modules[name]
