"""Linear layers and experts of a model replaced by packed ones, in a copy that shares everything else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Tensor, nn

from edgetok.errors import BrokenWeights
from edgetok_plugins.mc_moe.attention import watch
from edgetok_plugins.mc_moe.experts.copied import copied
from edgetok_plugins.mc_moe.experts.find import Block, find_blocks
from edgetok_plugins.mc_moe.experts.stacks import read_stacks
from edgetok_plugins.mc_moe.lowering.modules import PackedLinear, PackedStacks
from edgetok_plugins.mc_moe.packing import AGAIN, PackedWeight, linear_for

if TYPE_CHECKING:
    from edgetok.model import Component


def packed_component(component: Component, tensors: Mapping[str, Tensor]) -> Component:
    """A component whose module computes with packed weights.

    Args:
        component: of the model that was compressed; left as it is.
        tensors: what compression made: ``LINEAR.weight.*``, ``EXPERTS.up.w2.*``, ``EXPERTS.bits``.

    Raises:
        BrokenWeights: they do not fit each other, or the model.
    """
    module = packed_module(component.module, tensors)
    read = component.weights
    return replace(component, module=module, weights=None if read is None else _remaining(module, read))


def _remaining(module: nn.Module, read: Callable[[], Mapping[str, Tensor]]) -> Callable[[], Mapping[str, Tensor]]:
    """The weights that are still there, and the packed ones."""

    def merged() -> Mapping[str, Tensor]:
        wanted = dict(module.named_parameters(remove_duplicate=False))
        buffers = dict(module.named_buffers(remove_duplicate=False))
        return {**buffers, **{name: value for name, value in read().items() if name in wanted or name in buffers}}

    return merged


def packed_module(module: nn.Module, tensors: Mapping[str, Tensor]) -> nn.Module:
    """A copy of a module with packed linear layers and experts; parameters that stay are shared.

    Raises:
        BrokenWeights: the tensors do not fit each other, or the module; or one belongs to nothing.
    """
    _check_owned(tensors)
    made = copied(module)
    blocks = {block.name: block for block in find_blocks(made)} if any(n.endswith(".bits") for n in tensors) else {}
    for name in tensors:
        if name.endswith(".bits"):
            path = name.removesuffix(".bits")
            stacks = _stacks(blocks.get(path), path, tensors)
            _put(made, path, stacks)
            if stacks.pruning is not None and stacks.pruning.protect > 0:
                stacks.received = watch(made, [blocks[path]])[path]
        elif name.endswith(".weight.codes"):
            path = name.removesuffix(".weight.codes")
            _put(made, path, _linear(made, path, tensors))
    return made


def _check_owned(tensors: Mapping[str, Tensor]) -> None:
    """Refuse codes of experts without the widths by which they would be read."""
    for name in tensors:
        prefix = name.removesuffix(".codes")
        experts = prefix.rpartition(".")[0].rpartition(".")[0]  # EXPERTS.up.w2
        if name.endswith(".codes") and not name.endswith(".weight.codes") and f"{experts}.bits" not in tensors:
            raise BrokenWeights(
                f"The packed weight {prefix} belongs to nothing.", why=f"there is no {experts}.bits", hint=AGAIN
            )


def _put(module: nn.Module, path: str, new: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(module.get_submodule(parent), name, new.eval())


def _linear(module: nn.Module, path: str, tensors: Mapping[str, Tensor]) -> PackedLinear:
    weight = PackedWeight.from_tensors(tensors, f"{path}.weight")
    try:
        layer = module.get_submodule(path)
    except AttributeError:
        layer = None
    return PackedLinear(weight, linear_for(weight, layer, path).bias)


def _stacks(block: Block | None, path: str, tensors: Mapping[str, Tensor]) -> PackedStacks:
    if block is None:
        raise BrokenWeights(f"The packed experts {path} do not fit the model.", why="it has no experts there")
    found = read_stacks(tensors, block)
    return PackedStacks(block.form, found.weights, found.bits, found.pruning)
