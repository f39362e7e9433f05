"""torchvision whose compiled operators do not fit torch: importable, for models that never call them."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any

_NMS = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_declared: list[Any] = []
"""Declarations last as long as what made them."""


def usable_torchvision() -> None:
    """Import torchvision where it is installed, before timm and transformers do.

    A build for another torch (a CUDA build beside a CPU torch, say) has no operators, and its import ends with
    ``operator torchvision::nms does not exist``, and so does that of everything above it. Declared here, without a
    kernel, they can be called by nothing, which no image encoder does. Any other failure is left to whoever imports it
    next.
    """
    if "torchvision" in sys.modules or find_spec("torchvision") is None:
        return
    try:
        import_module("torchvision")
    except Exception as error:
        if "torchvision::" not in str(error):
            return
        _declare("nms", "qnms")
        _forget()
        try:
            import_module("torchvision")
        except Exception:
            _forget()


def _forget() -> None:
    """A module whose import failed half-way would be taken for a whole one."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]


def _declare(*names: str) -> None:
    import torch

    untyped: Any = torch.library
    library = untyped.Library("torchvision", "FRAGMENT")
    for name in names:
        if not hasattr(torch.ops.torchvision, name):
            library.define(name + _NMS)
    _declared.append(library)
