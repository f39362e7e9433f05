"""One layer from its files to packed weights, with the errors of what was quantised before it in its inputs.

Every linear layer is quantised when its inputs come along, just before it computes with them, and computes with what
was made of it: attention in the order of its own forward, then the experts one at a time. The router is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from edgetok_plugins.mc_moe.attention import Received
from edgetok_plugins.mc_moe.experts.form import MATRICES, Routing
from edgetok_plugins.mc_moe.gptq import gptq, hessian
from edgetok_plugins.mc_moe.grid import round_to_nearest
from edgetok_plugins.mc_moe.odp import Pruning, calibrated, pruned_weights
from edgetok_plugins.mc_moe.packing import PackedWeight, dequantise, stack
from edgetok_plugins.mc_moe.stored import StoredExperts
from edgetok_plugins.mc_moe.stream import Streamed, experts_replaced

if TYPE_CHECKING:
    from edgetok_plugins.mc_moe import McMoe

ROUTERS = ("gate", "router", "shared_expert_gate")
"""Linear layers of these names decide; they keep their precision."""

Method = Callable[[Tensor, Tensor, int], PackedWeight]
"""``(weight [out, in], inputs [n, in], bits)``."""


@dataclass
class PackedLayer:
    """What became of a layer.

    Attributes:
        linears: packed weights by the path of their linear layer.
        experts: by path of the experts, for each matrix a stack per width.
        bits: by path of the experts, the width of each.
        pruning: by path of the experts, how they are pruned for each token; none where they are not.
    """

    linears: dict[str, PackedWeight] = field(default_factory=dict)
    experts: dict[str, Mapping[str, Mapping[int, PackedWeight]]] = field(default_factory=dict)
    bits: dict[str, tuple[int, ...]] = field(default_factory=dict)
    pruning: dict[str, Pruning] = field(default_factory=dict)

    def tensors(self) -> dict[str, Tensor]:
        """All of it for a safetensors file: ``LINEAR.weight.*``, ``EXPERTS.up.w2.*``, ``.bits`` and ``.odp``."""
        found: dict[str, Tensor] = {}
        for path, weight in self.linears.items():
            found |= weight.tensors(f"{path}.weight")
        found |= {f"{path}.odp": pruning.tensor() for path, pruning in self.pruning.items()}
        for path, matrices in self.experts.items():
            found[f"{path}.bits"] = torch.tensor(self.bits[path], dtype=torch.uint8)
            for name, stacks in matrices.items():
                for bits, weight in stacks.items():
                    found |= weight.tensors(f"{path}.{name}.w{bits}")
        return {name: tensor.cpu() for name, tensor in found.items()}


def method(options: McMoe) -> Method:
    """How the options want a matrix quantised."""

    def nearest(weight: Tensor, inputs: Tensor, bits: int) -> PackedWeight:
        return round_to_nearest(weight, bits=bits, group=options.group_size)

    def solved(weight: Tensor, inputs: Tensor, bits: int) -> PackedWeight:
        settings: dict[str, Any] = {"damping": options.damping, "act_order": options.act_order}
        return gptq(weight, hessian(inputs), bits=bits, group=options.group_size, **settings)

    return solved if options.method == "gptq" else nearest


def quantise_layer(
    source: Streamed,
    index: int,
    bits: Sequence[int] | None,
    options: McMoe,
    compute: Callable[[], Tensor],
    received: Received | None = None,
) -> tuple[Tensor, PackedLayer]:
    """The layer's output with quantised weights, and those weights.

    Args:
        source: the model; the layer's weights are loaded.
        index: the layer.
        bits: the width of each expert; ``None`` for a dense layer.
        options: attention's width, group size and method.
        compute: the layer's forward.
        received: where the layer's attention leaves what tokens receive, to protect some from pruning.
    """
    made, how = PackedLayer(), method(options)
    with ExitStack() as open_:
        if options.attention_bits < 16:
            open_.enter_context(_linears(source, index, options.attention_bits, how, made))
        if bits is not None:
            block = source.blocks[index]
            left = received or Received()
            experts = _Experts(source.stored(index), bits, how, (options.odp_protect, left) if options.odp else None)
            open_.enter_context(experts_replaced(block, experts))
        hidden = compute()
    if bits is not None:
        made.bits[block.name], made.experts[block.name] = tuple(bits), experts.stacks()
        made.pruning |= {} if experts.pruning is None else {block.name: experts.pruning}
    return hidden, made


@contextmanager
def _linears(source: Streamed, index: int, bits: int, how: Method, made: PackedLayer) -> Iterator[None]:
    def hook(path: str, module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        if path in made.linears:
            return
        weight = module.get_parameter("weight")
        made.linears[path] = how(weight.data, arguments[0].flatten(0, -2), bits)
        weight.data = dequantise(made.linears[path])

    handles = []
    for name, module in source.layers[index].named_modules():
        if type(module) is nn.Linear and name.rpartition(".")[2] not in ROUTERS:
            path = f"{source.path}.{index}.{name}"
            handles.append(module.register_forward_pre_hook(lambda m, a, path=path: hook(path, m, a)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Experts:
    """Quantises the experts of a block one after another, and computes with what became of them.

    With ``odp`` (the share of tokens to protect, and what they receive) it finds out how to prune. Experts are still
    quantised for all tokens that chose them; what goes on to the next layer is pruned.
    """

    def __init__(
        self, stored: StoredExperts, bits: Sequence[int], how: Method, odp: tuple[float, Received] | None = None
    ) -> None:
        self.stored, self.bits, self.how, self.odp = stored, bits, how, odp
        self.pruning: Pruning | None = None
        self.packed: dict[str, dict[int, list[PackedWeight]]] = {name: {} for name in MATRICES}

    def __call__(self, routing: Routing) -> Tensor:
        out = torch.zeros_like(routing.tokens)
        form = self.stored.form
        routing = routing if self.odp is None else self._pruned(routing, *self.odp)
        for expert, bits in enumerate(self.bits):
            rows, weights = routing.of(expert)
            hidden = self._apply(expert, "up", bits, routing.tokens[rows])
            made = self._apply(expert, "down", bits, form.activate(hidden))
            out.index_add_(0, rows, (made * weights[:, None]).to(out.dtype))
        return out

    def _pruned(self, routing: Routing, protect: float, left: Received) -> Routing:
        received = left.take()
        self.pruning = calibrated(routing, protect, received)
        keep = self.pruning.keep(routing, received)
        return Routing(routing.tokens, routing.index, pruned_weights(routing.weights, keep))

    def _apply(self, expert: int, name: Any, bits: int, inputs: Tensor) -> Tensor:
        matrix = self.stored.read(expert, name).to(inputs.device)
        packed = self.how(matrix, inputs, bits)
        self.packed[name].setdefault(bits, []).append(packed)
        return nn.functional.linear(inputs, dequantise(packed), self.stored.form.bias(expert, name))

    def stacks(self) -> dict[str, dict[int, PackedWeight]]:
        """Per matrix and width one stack, experts in ascending order."""
        return {
            name: {bits: stack(of) for bits, of in sorted(by_width.items())} for name, by_width in self.packed.items()
        }
