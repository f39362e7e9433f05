"""A model to work on: its own modules, the same tensors."""

from __future__ import annotations

import copy

from torch import nn

_OWN = ("_parameters", "_buffers", "_forward_hooks", "_forward_pre_hooks")


def copied(module: nn.Module) -> nn.Module:
    """A module of the same modules, all new, with the same tensors; the hooks of one are not those of the other."""
    made = copy.copy(module)
    vars(made).update({kind: copy.copy(vars(module)[kind]) for kind in _OWN})
    vars(made)["_modules"] = {
        name: None if child is None else copied(child) for name, child in vars(module)["_modules"].items()
    }
    return made
