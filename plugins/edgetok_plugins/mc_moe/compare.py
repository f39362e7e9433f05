"""Whether an allocation is worth having: the same bits spent in other ways, each compressed and measured in full.

At each mean width: the allocation itself; whole widths just below and above, for every expert, and what lies between
them on a line in log perplexity over bits; the same widths given to experts at random, ten times; and to the experts
that are chosen most often.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from edgetok.progress import Progress, Silent
from edgetok_plugins.mc_moe.baselines import Widths, by_frequency, shuffled, uniform
from edgetok_plugins.mc_moe.compress import allocate, compress
from edgetok_plugins.mc_moe.journal import statistics_of
from edgetok_plugins.mc_moe.perplexity import Perplexity, difference, fewer_right, perplexity
from edgetok_plugins.mc_moe.runtime import load_packed

if TYPE_CHECKING:
    from edgetok_plugins.mc_moe import McMoe

SEEDS = range(10)
Measure = Callable[[Widths], Perplexity]


def compare(
    model: Path,
    inputs: Mapping[str, Tensor],
    held_out: Tensor,
    options: McMoe,
    budgets: Sequence[float],
    *,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Scores on ``held_out [S, T]`` of a model as it is, and compressed in all ways at each of ``budgets``.

    Returns plain data: ``full`` and, per budget, the ways with their perplexities, next-token accuracies (per cent) and
    intervals, what each loses more and gets right less than the allocation does (paired, in nats per token and in
    points), and whether the allocation's perplexity is better than each. ``device`` compresses; scores are the CPU's.
    """
    with tempfile.TemporaryDirectory(prefix="edgetok-") as scratch:
        place = Path(scratch) / "compressed"

        def measured(widths: Widths | None, chosen: McMoe = options) -> tuple[Perplexity, dict[str, Any]]:
            manifest = compress(model, place, inputs, chosen, allocation=widths, device=device)
            found = perplexity(load_packed(place), held_out)
            for file in place.iterdir():
                file.unlink()
            place.rmdir()
            return found, manifest

        first, manifest = measured(None)
        statistics = statistics_of(manifest["statistics"])
        cache: dict[str, Perplexity] = {str(allocate(statistics, options)): first}

        def measure(widths: Widths) -> Perplexity:
            if str(widths) not in cache:
                cache[str(widths)] = measured(widths)[0]
            return cache[str(widths)]

        rows = []
        with (progress or Silent()).stage("compare", total=len(budgets)):
            for bits in budgets:
                widths = allocate(statistics, options.model_copy(update={"bits": bits}))
                rows.append({"bits": bits, **_ways(widths, bits, statistics, measure)})
                (progress or Silent()).advance()
        return {"full": figures(perplexity(_original(model), held_out)), "budgets": rows}


def sentences(found: Mapping[str, Any]) -> tuple[str, ...]:
    """What ``compare`` found, for people: for each budget whether the allocation was worth it, and all its scores."""
    return tuple(line for row in found["budgets"] for line in _told(row, found["full"]))


_OTHERS = {"uniform": "uniform", "random": "at random", "frequency": "by frequency"}
_VERDICTS = {"beaten": "beaten", "better": "better than mc-moe", "undecided": "no certain difference"}


def _told(row: Mapping[str, Any], full: Mapping[str, Any]) -> Iterator[str]:
    bits, ours, chance = f"{row['bits']:g} bits an expert", row["mc-moe"], row["random_seeds"]
    said = [f"{words} {_spelt(row[way])}, {_VERDICTS[row[way]['verdict']]}" for way, words in _OTHERS.items()]
    yield (
        f"Perplexity at {bits}: as it was {_spelt(full)}, mc-moe {_spelt(ours)}; "
        f"the same bits spent otherwise: {'; '.join(said)}."
    )
    said = [f"{words} {_right(row[way])}" for way, words in _OTHERS.items()]
    yield f"Next tokens right at {bits}: as it was {_right(full)}, mc-moe {_right(ours)}; {', '.join(said)}."
    ends = {math.floor(row["bits"]): row["uniform_below"], math.ceil(row["bits"]): row["uniform_above"]}
    whole = ", ".join(f"{width} bits {_spelt(found)}" for width, found in ends.items())
    yield (
        f"Perplexity beside {bits}: all experts at {whole}; of {len(chance)} at random "
        f"{min(chance):.4g} to {max(chance):.4g}."
    )


def _spelt(figures: Mapping[str, Any]) -> str:
    low, high = figures["interval"]
    return f"{figures['perplexity']:.4g} ({low:.4g} to {high:.4g})"


def _right(figures: Mapping[str, Any]) -> str:
    low, high = figures["accuracy_interval"]
    return f"{figures['accuracy']:.1f} % ({low:.1f} to {high:.1f})"


def _ways(widths: Widths, bits: float, statistics: Any, measure: Measure) -> dict[str, Any]:
    ours = measure(widths)
    low, high = (measure(uniform(widths, whole)) for whole in (math.floor(bits), math.ceil(bits)))
    share = bits - math.floor(bits)
    chance = [measure(shuffled(widths, seed)) for seed in SEEDS]
    ranked = measure(by_frequency(widths, statistics))
    between = _mixed((low, high), (1 - share, share))
    others = {"uniform": between, "random": _mixed(chance, [1 / len(chance)] * len(chance)), "frequency": ranked}
    return {
        "widths": {str(layer): list(given) for layer, given in widths.items()},
        "mean_width": fmean(width for given in widths.values() for width in given),
        "mc-moe": figures(ours),
        "uniform_below": figures(low),
        "uniform_above": figures(high),
        "random_seeds": [each.value for each in chance],
        **{name: figures(other) | dict(_against(other, ours)) for name, other in others.items()},
    }


def _mixed(found: Sequence[Perplexity], shares: Sequence[float]) -> Perplexity:
    """The mean of what was found, each with its share, sequence by sequence."""

    def mixed(columns: Sequence[Sequence[float]]) -> tuple[float, ...]:
        rows = zip(*columns, strict=True)
        return tuple(sum(share * each for share, each in zip(shares, row, strict=True)) for row in rows)

    return Perplexity(mixed([each.losses for each in found]), mixed([each.rights for each in found]))


def _against(other: Perplexity, ours: Perplexity) -> Iterator[tuple[str, Any]]:
    found = difference(other, ours)
    yield "loses_more", [found.mean, found.low, found.high]
    fewer = fewer_right(other, ours)
    yield "fewer_right", [fewer.mean, fewer.low, fewer.high]
    yield "verdict", "beaten" if found.low > 0 else ("better" if found.high < 0 else "undecided")


def figures(found: Perplexity) -> dict[str, Any]:
    """Perplexity and next-token accuracy (per cent) with their intervals, as plain data."""
    accuracy = {"accuracy": found.accuracy, "accuracy_interval": list(found.accuracy_interval)}
    return {"perplexity": found.value, "interval": list(found.interval), **accuracy}


def _original(model: Path) -> Any:
    import transformers

    loader = transformers.AutoModelForCausalLM.from_pretrained
    return loader(model, dtype=torch.float32, local_files_only=True, use_safetensors=True).eval()
