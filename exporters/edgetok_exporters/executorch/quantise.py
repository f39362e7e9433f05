"""Formats that a program declares, fulfilled by ExecuTorch's own quantisers.

``int8-dynamic`` and ``int8-static`` go through pt2e with the delegate's quantiser, ``int4-dynamic`` (8da4w) through
torchao. Only layers whose weight ``program.precision`` names are quantised, so that the matching never is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx, nn

from edgetok.errors import TargetRefuses
from edgetok.provenance import traceable
from edgetok.silence import quiet
from edgetok_exporters.executorch.tidy import tidy

if TYPE_CHECKING:
    from edgetok.graph.program import Program
    from edgetok.lowering import Lowered
    from edgetok.precision import Precision
    from edgetok.target import Target
    from edgetok_exporters.executorch.delegate import Delegate

aten = torch.ops.aten
LINEAR = frozenset({aten.linear.default})
CONVOLUTION = frozenset({aten.conv1d.default, aten.conv2d.default, aten.convolution.default})


def quantised(lowered: Lowered, program: Program, target: Target, delegate: Delegate) -> Lowered:
    """The lowered program in the formats that ``program.precision`` declares.

    Raises:
        TargetRefuses: the target does not run them.
    """
    precision = program.precision
    if precision is None:
        return lowered
    if precision.scheme not in target.precisions or not (delegate.quantiser or delegate.whole):
        raise TargetRefuses(
            f"The target {target.name!r} does not run {precision.scheme}.",
            why=f"it runs {', '.join(target.precisions) or 'no quantised scheme'}",
            hint="Choose another target or other options of the quantize plugin.",
        )
    module: Any = traceable(lowered.exported)
    with quiet():
        if precision.scheme == "int4-dynamic":
            _as_int4(module, precision)
        else:
            module = _by_pt2e(module, lowered.example, precision, delegate)
        exported = torch.export.export(module, (), dict(lowered.example))
    return replace(lowered, exported=tidy(exported))


def _by_pt2e(module: Any, example: Mapping[str, Tensor], precision: Precision, delegate: Delegate) -> Any:
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    if delegate.whole:
        quantiser = delegate.whole(module, example, precision)
    else:
        assert delegate.quantiser is not None
        chosen = _chosen(module, precision)
        quantiser = delegate.quantiser(not precision.needs_calibration, chosen)
        quantiser.annotate = partial(_annotate_only, chosen, quantiser.annotate)
    prepared = prepare_pt2e(module, quantiser)
    with torch.no_grad():
        for inputs in batches(precision, example) if precision.needs_calibration else [example]:
            prepared(**inputs)
    return convert_pt2e(prepared)


def _annotate_only(chosen: frozenset[str], annotate: Callable[[Any], Any], module: Any) -> Any:
    """What a quantiser annotates, without what it was not asked for: its rules for ``cat`` and views heed no filter."""
    annotated = annotate(module)
    for node in annotated.graph.nodes:
        if node.op == "call_function" and node.name not in chosen:
            node.meta.pop("quantization_annotation", None)
    return annotated


def _chosen(module: Any, precision: Precision) -> frozenset[str]:
    """Names of the layers' nodes; with ranges found at run time, of linear layers only."""
    kinds = LINEAR | CONVOLUTION if precision.needs_calibration else LINEAR
    return frozenset(node.name for node in _layers(module, precision, kinds))


def _layers(module: Any, precision: Precision, kinds: frozenset[Any]) -> list[fx.Node]:
    return [node for node in module.graph.nodes if node.target in kinds and _weight(node) in precision.weights]


def _weight(node: fx.Node) -> str:
    weight = node.args[1]
    return str(weight.target) if isinstance(weight, fx.Node) and weight.op == "get_attr" else ""


def batches(precision: Precision, example: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Calibration inputs in the one batch size of ``example``; the last one is filled up from its beginning."""
    for given in precision.calibration:
        tensors = {name: torch.as_tensor(given[name]) for name in example}
        size = {name: wanted.shape[0] if wanted.dim() else 1 for name, wanted in example.items()}
        first = next(iter(example))
        for start in range(0, tensors[first].shape[0], size[first]):
            yield {name: _filled(tensors[name][start : start + size[name]], size[name]) for name in example}


def _filled(tensor: Tensor, count: int) -> Tensor:
    repeats = -(-count // tensor.shape[0])
    return torch.cat([tensor] * repeats)[:count] if tensor.shape[0] < count else tensor


def _as_int4(module: Any, precision: Precision) -> None:
    """Linear layers with int4 weights in groups and int8 activations per token, in place, by torchao."""
    from torchao.quantization import (
        Int8DynamicActivationIntxWeightConfig,
        quantize_,
    )
    from torchao.quantization.granularity import PerGroup

    check_groups(precision)
    for index, node in enumerate(_layers(module, precision, LINEAR)):
        layer = _layer(module, node)
        config = Int8DynamicActivationIntxWeightConfig(
            weight_dtype=torch.int4,  # type: ignore[attr-defined]
            weight_granularity=PerGroup(precision.weights[_weight(node)].group),
        )
        quantize_(layer, config, filter_fn=lambda found, _: isinstance(found, nn.Linear))
        name = f"edgetok_linear_{index}"
        module.add_submodule(name, layer)
        with module.graph.inserting_before(node):
            called = module.graph.call_module(name, (node.args[0],))
        node.replace_all_uses_with(called)
        module.graph.erase_node(node)
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    module.recompile()


def check_groups(precision: Precision) -> None:
    """XNNPACK's kernels take groups of 32, 64, ...

    Raises:
        TargetRefuses: there are others.
    """
    groups = {form.group for form in precision.weights.values()}
    if any(group % 32 for group in groups):
        raise TargetRefuses(
            "XNNPACK does not run int4 weights in these groups.",
            why=f"groups of {', '.join(map(str, sorted(groups)))}; its kernels take multiples of 32",
            hint="Set quantize:group=32.",
        )


def _layer(module: nn.Module, node: fx.Node) -> nn.Module:
    weight, bias = (_read(module, node.args[i]) if len(node.args) > i else None for i in (1, 2))
    assert weight is not None
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    layer.weight = nn.Parameter(weight.detach(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach(), requires_grad=False)
    return nn.Sequential(layer)


def _read(module: nn.Module, node: Any) -> Tensor | None:
    if node is None:
        return None
    found: Any = module
    for part in str(node.target).split("."):
        found = getattr(found, part)
    return found  # type: ignore[no-any-return]
