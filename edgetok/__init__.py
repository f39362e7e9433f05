"""edgetok: make a PyTorch model fit a phone, a laptop or a desktop GPU, with proof.

    result = edgetok.optimize(model, inputs, plugins=["tome:r=8"], target="onnx", output="out")

Importing this package imports nothing heavy; names are resolved when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from edgetok.errors import EdgetokError
from edgetok.plugin import API_VERSION, Plugin, TokenReduction

if TYPE_CHECKING:
    from edgetok.api import optimize as optimize
    from edgetok.graph.signals import Signals as Signals
    from edgetok.graph.site import Site as Site
    from edgetok.graph.tokens import TokenMap as TokenMap
    from edgetok.hookspecs import hookimpl as hookimpl
    from edgetok.session.result import Result as Result

__version__ = "0.1.0"

_LAZY = {
    "optimize": "edgetok.api",
    "Signals": "edgetok.graph.signals",
    "Site": "edgetok.graph.site",
    "TokenMap": "edgetok.graph.tokens",
    "hookimpl": "edgetok.hookspecs",
    "Result": "edgetok.session.result",
}

__all__ = ["API_VERSION", "EdgetokError", "Plugin", "TokenReduction", "__version__", *_LAZY]


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'edgetok' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
