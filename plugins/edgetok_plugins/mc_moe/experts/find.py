"""Where a model has experts, and which of its layers are what else."""

from __future__ import annotations

import re
from dataclasses import dataclass

from torch import nn

from edgetok.errors import UnsupportedModel
from edgetok_plugins.mc_moe.experts.form import Form, Fused, Separate

FAMILIES = "Mixtral, OLMoE, Qwen2/3-MoE, DeepSeek-V2/V3, GraniteMoE, gpt-oss, PhiMoE, Switch and what is built alike"
SHARED = ("shared_expert", "shared_experts", "shared_mlp")
PLAIN = (nn.ModuleList, nn.ModuleDict, nn.Sequential)
"""Containers whose names say nothing: what has them is named in their place."""
_LOOKS_LIKE = re.compile(r"experts?$", re.IGNORECASE)


@dataclass(frozen=True)
class Block:
    """A mixture of experts inside a model.

    Attributes:
        name: the path of the module that keeps the experts, ``model.layers.3.mlp.experts``.
        experts: that module.
        form: its matrices, in one view for all layouts.
        parent: the block around it, which has the router and what is shared.
        shared: paths of experts that every token passes.
    """

    name: str
    experts: nn.Module
    form: Form
    parent: nn.Module
    shared: tuple[str, ...] = ()

    @property
    def parent_name(self) -> str:
        """The path of the block around the experts."""
        return self.name.rpartition(".")[0]


def find_blocks(model: nn.Module) -> tuple[Block, ...]:
    """Every mixture of experts of ``model``, in the order of its layers.

    Raises:
        UnsupportedModel: there is none, or one is kept in a way that is not known; says which.
    """
    found = known_blocks(model)
    if not found:
        what = f"{type(model).__name__} has no mixture of experts."
        raise UnsupportedModel(what, why="no module keeps experts", hint=f"Known: {FAMILIES}.")
    return found


def known_blocks(model: nn.Module) -> tuple[Block, ...]:
    """As ``find_blocks``, and empty where there is none.

    Raises:
        UnsupportedModel: one is kept in a way that is not known; says which.
    """
    modules = dict(model.named_modules())
    found = []
    for name, module in modules.items():
        parent = name.rpartition(".")[0]
        if Fused.fits(module) or Separate.fits(module):
            form: Form = Fused.of(module) if Fused.fits(module) else Separate.of(module)
            found.append(Block(name, module, form, modules[parent], _shared(modules[parent], parent)))
        elif _is_unknown(module, name):
            keeper = modules[parent] if type(module) in PLAIN else module
            held = ", ".join(dict(module.named_parameters(recurse=False)))
            raise UnsupportedModel(
                f"{type(keeper).__name__} keeps experts in a way that is not known.",
                why=f"{name} is a {type(module).__name__} that holds {held or 'modules'}",
                hint=f"Known: {FAMILIES}.",
            )
    return tuple(found)


def _shared(parent: nn.Module, path: str) -> tuple[str, ...]:
    names = (
        name for name, child in parent.named_children() if name in ("shared_expert", "shared_experts", "shared_mlp")
    )
    return tuple(f"{path}.{name}" for name in names)


def _is_unknown(module: nn.Module, name: str) -> bool:
    """Something that has the matrices of many experts, or their name, and fits no form."""
    last = name.rpartition(".")[2]
    if "shared" in last or getattr(module, "is_packed", False):
        return False
    if last == "experts":
        return next(module.parameters(), None) is not None
    stacked = [each for each in module.parameters(recurse=False) if each.dim() == 3 and each.shape[0] > 1]
    named = _LOOKS_LIKE.search(type(module).__name__) is not None
    return named and (bool(stacked) or isinstance(module, nn.ModuleList | nn.ModuleDict))
