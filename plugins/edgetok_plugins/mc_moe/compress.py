"""A transformers directory in, a directory of packed weights out, however large the model is.

Twice the model is run layer by layer over the calibration tokens: once for the statistics that bits are allocated by,
and once to quantise, where each layer sees what the quantised layers before it put out. In memory are the tokens'
hidden states, one layer without its experts, one expert, and what is packed of the layer; files are read, not mapped.

Every layer's result is on disk before the next begins, so that a killed job goes on where it was, to the same bytes:

| file | what |
|---|---|
| ``layer-NNNNN.safetensors`` | a layer's packed matrices: ``packing`` says how, ``quantise`` under which names |
| ``rest.safetensors`` | every other tensor, under its old name and in its old dtype |
| ``model.safetensors.index.json`` | which file has what |
| ``mc_moe.json`` | options, statistics and widths of experts, what pruning saves, bytes |
| ``config.json`` | the model's, marked as quantised |
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from edgetok.bundle import check_output
from edgetok.progress import Progress, Silent
from edgetok_plugins.mc_moe.allocate import allocate_bits, allocate_global
from edgetok_plugins.mc_moe.attention import watch
from edgetok_plugins.mc_moe.calibrate import Observer, Statistics
from edgetok_plugins.mc_moe.format import mark, own_shards
from edgetok_plugins.mc_moe.journal import Journal, key_of, save_tensors, save_text
from edgetok_plugins.mc_moe.odp import Pruning
from edgetok_plugins.mc_moe.quantise import quantise_layer
from edgetok_plugins.mc_moe.shards import Shards
from edgetok_plugins.mc_moe.stored import find_key
from edgetok_plugins.mc_moe.stream import Streamed, experts_replaced, open_model, run

if TYPE_CHECKING:
    from edgetok_plugins.mc_moe import McMoe

Widths = Mapping[int, Sequence[int]]
"""By layer, the width of each expert."""
Allocate = Callable[[Mapping[int, Statistics]], Widths]
MATRICES = (".codes", ".scale", ".zero")
"""How the names of the large tensors end that compression makes."""
PACKED = (*MATRICES, ".bits", ".odp", ".layout")
"""The same of all of them."""
KEPT = (
    *("generation_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model"),
    *("special_tokens_map.json", "vocab.json", "merges.txt", "chat_template.jinja", "LICENSE"),
)
"""Files that go with a model and are copied."""


def compress(
    model: Path | Streamed,
    output: Path,
    inputs: Mapping[str, Tensor],
    options: McMoe,
    *,
    allocation: Widths | None = None,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Compress the mixtures of experts in a transformers directory; returns what ``mc_moe.json`` says.

    Args:
        model: the directory, with safetensors; or what ``open_model`` or ``open_component`` opened.
        output: a directory that is not there yet.
        inputs: calibration samples as the model's forward takes them, in one batch: ``{"input_ids": [S, T]}``.
        options: the plugin with its options.
        allocation: widths of experts by layer, in place of the allocation by statistics: no statistics are gathered.
        device: where layers compute; what is opened already has its own. Bytes are those of the kind of device.
        progress: where to show it; silent by default.

    Raises:
        OutputExists: ``output`` is there, or an unfinished job with other settings beside it.
        UnsupportedModel, BrokenWeights: it cannot be compressed, or its files are malformed.
        BadSchedule: the budget cannot be met.
    """
    check_output(output)
    shown = progress or Silent()
    source = model if isinstance(model, Streamed) else open_model(model, device)
    fixed = None if allocation is None else {str(index): list(widths) for index, widths in allocation.items()}
    settings = {"options": options.options(), "allocation": fixed, "device": source.device.type}
    key = key_of(settings, inputs, source.directory, source.shards.files)
    journal = Journal(output.parent / f".{output.name}.mc-moe", key)
    statistics: Mapping[int, Statistics] = {}
    if allocation is None:
        statistics = calibrate(source, inputs, options, journal, shown)
        allocation = allocate(statistics, options)
    quantise(source, inputs, allocation, options, journal, shown)
    manifest = _deliver(source, options, allocation, statistics, journal.output)
    journal.finish(output)
    return manifest


def device_here() -> torch.device:
    """CUDA where torch sees it, and the CPU where it does not."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def packed_tensors(directory: Path) -> dict[str, Tensor]:
    """The packed matrices of a directory that ``compress`` wrote, by name, from the files that its index names.

    Raises:
        BrokenWeights: one of them is missing, malformed or outside the directory.
    """
    shards = own_shards(directory)
    return {name: shards.read(name) for name in shards if name.endswith(PACKED)}


def calibrate(
    source: Streamed, inputs: Mapping[str, Tensor], options: McMoe, journal: Journal, progress: Progress
) -> dict[int, Statistics]:
    """Statistics by layer, from the model with its weights as they are."""

    def visit(index: int, compute: Callable[[], Tensor]) -> Tensor:
        if index in source.blocks:
            block = source.blocks[index]
            observer = Observer(block.name, source.stored(index), options.widths, options.group_size)
            with experts_replaced(block, observer):
                hidden = compute()
            assert observer.statistics is not None
            journal.note(index, observer.statistics)
        else:
            hidden = compute()
        journal.advance("calibrate", index + 1, hidden)
        progress.advance()
        return hidden

    _go_on(source, inputs, journal, "calibrate", visit, progress)
    return {index: journal.statistics(index) for index in source.blocks}


def allocate(statistics: Mapping[int, Statistics], options: McMoe) -> dict[int, list[int]]:
    """Widths of experts by layer, as the options want them.

    Where a layer's budget is no whole number of bits, what is left of it goes to the next layer.

    Raises:
        BadSchedule: the budget cannot be met.
    """
    settings: dict[str, Any] = options.model_dump(include={"alpha", "beta", "gamma"})
    settings |= {"bits": options.widths, "min_count": options.least}
    seen = list(statistics.values())
    totals = list(accumulate(options.bits * len(s.frequency) for s in seen))
    chosen: list[list[int]] = []
    if options.scope == "layer":
        for s, total in zip(seen, totals, strict=True):
            left = round(total - sum(map(sum, chosen)), 6)
            chosen.append(allocate_bits(s.frequency, s.weight, s.loss, budget=left, **settings))
    else:
        columns = ([getattr(s, name) for s in seen] for name in ("frequency", "weight", "loss"))
        chosen = allocate_global(*columns, budget=round(totals[-1], 6), norm=[s.norm for s in seen], **settings)
    return dict(zip(statistics, chosen, strict=True))


def quantise(
    source: Streamed,
    inputs: Mapping[str, Tensor],
    allocation: Widths,
    options: McMoe,
    journal: Journal,
    progress: Progress,
) -> None:
    """Packed layers into ``journal.output``."""
    watched = options.odp and options.odp_protect > 0
    received = watch(source.model, source.blocks.values()) if watched else {}
    names = {index: block.name for index, block in source.blocks.items()}

    def visit(index: int, compute: Callable[[], Tensor]) -> Tensor:
        left = received.get(names.get(index, ""))
        hidden, made = quantise_layer(source, index, allocation.get(index), options, compute, left)
        save_tensors(journal.output / _layer(index), made.tensors())
        journal.advance("quantise", index + 1, hidden)
        progress.advance()
        return hidden

    _go_on(source, inputs, journal, "quantise", visit, progress)


def _go_on(
    source: Streamed, inputs: Mapping[str, Tensor], journal: Journal, phase: Any, visit: Any, progress: Progress
) -> None:
    start, hidden = journal.position(phase)
    with progress.stage(phase, total=len(source.layers)):
        progress.advance(start)
        if start < len(source.layers):
            entering = None if hidden is None else hidden.to(source.device)
            run(source, inputs, visit, start=start, hidden=entering)


def _layer(index: int) -> str:
    return f"layer-{index:05}.safetensors"


def _deliver(
    source: Streamed, options: McMoe, allocation: Widths, statistics: Mapping[int, Statistics], output: Path
) -> dict[str, Any]:
    """Everything beside the layers."""
    used = {key for index in source.blocks for key in source.stored(index).all_keys()}
    packed = Shards.of(sorted(output.glob("layer-*.safetensors")))
    linears = {name.removesuffix(".codes") for name in packed if name.endswith(".weight.codes")}
    used |= {find_key(source.shards, name) for name in linears}
    rest = {name: source.shards.read(name) for name in source.shards if name not in used}
    save_tensors(output / "rest.safetensors", rest)
    where = {name: place.file.name for name, place in packed.places.items()} | dict.fromkeys(rest, "rest.safetensors")
    save_text(output / "model.safetensors.index.json", {"weight_map": where})
    config = json.loads((source.directory / "config.json").read_text(encoding="utf-8"))
    save_text(output / "config.json", config | {"quantization_config": mark()})
    for name in KEPT:
        if (source.directory / name).is_file():
            shutil.copyfile(source.directory / name, output / name)
    layers = {source.blocks[index].name: list(widths) for index, widths in allocation.items()}
    manifest = {
        "options": options.options(),
        "bits": layers,
        "statistics": {seen.name: asdict(seen) for seen in statistics.values()},
        "odp": {name: asdict(pruning) for name in layers if (pruning := _pruning(packed, name)) is not None},
        "bytes": {"packed": _bytes(packed), "rest": sum(value.nbytes for value in rest.values())},
    }
    save_text(output / "mc_moe.json", manifest)
    return manifest


def _pruning(packed: Shards, name: str) -> Pruning | None:
    key = f"{name}.odp"
    return Pruning.read({key: packed.read(key)}, name) if key in packed else None


def _bytes(shards: Shards) -> int:
    return sum(place.bytes for place in shards.places.values())
