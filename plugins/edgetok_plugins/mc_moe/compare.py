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
from edgetok_plugins.mc_moe.perplexity import Perplexity, difference, perplexity
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
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Perplexities on ``held_out [S, T]`` of a model as it is, and compressed in all ways at each of ``budgets``.

    Returns plain data: ``full`` and, per budget, the ways with their perplexities and intervals, what each loses more
    than the allocation does (paired, in nats per token), and whether the allocation is better than each.
    """
    with tempfile.TemporaryDirectory(prefix="edgetok-") as scratch:
        place = Path(scratch) / "compressed"

        def measured(widths: Widths | None, chosen: McMoe = options) -> tuple[Perplexity, dict[str, Any]]:
            manifest = compress(model, place, inputs, chosen, allocation=widths)
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
        return {"full": _figures(perplexity(_original(model), held_out)), "budgets": rows}


def sentences(found: Mapping[str, Any]) -> tuple[str, ...]:
    """What ``compare`` found, for people: a line per budget, and whether the allocation was worth it."""
    lines = []
    for row in found["budgets"]:
        ours, full = row["mc-moe"], found["full"]
        said = [f"{words} {_spelt(row[way])}, {_VERDICTS[row[way]['verdict']]}" for way, words in _OTHERS.items()]
        lines.append(
            f"Perplexity at {row['bits']:g} bits an expert: as it was {_spelt(full)}, mc-moe {_spelt(ours)}; "
            f"the same bits spent otherwise: {'; '.join(said)}."
        )
    return tuple(lines)


_OTHERS = {"uniform": "uniform", "random": "at random", "frequency": "by frequency"}
_VERDICTS = {"beaten": "beaten", "better": "better than mc-moe", "undecided": "no certain difference"}


def _spelt(figures: Mapping[str, Any]) -> str:
    low, high = figures["interval"]
    return f"{figures['perplexity']:.4g} ({low:.4g} to {high:.4g})"


def _ways(widths: Widths, bits: float, statistics: Any, measure: Measure) -> dict[str, Any]:
    ours = measure(widths)
    low, high = (measure(uniform(widths, whole)) for whole in (math.floor(bits), math.ceil(bits)))
    share = bits - math.floor(bits)
    between = Perplexity(tuple((1 - share) * a + share * b for a, b in zip(low.losses, high.losses, strict=True)))
    chance = [measure(shuffled(widths, seed)) for seed in SEEDS]
    ranked = measure(by_frequency(widths, statistics))
    mean = Perplexity(tuple(map(fmean, zip(*(each.losses for each in chance), strict=True))))
    others = {"uniform": between, "random": mean, "frequency": ranked}
    return {
        "widths": {str(layer): list(given) for layer, given in widths.items()},
        "mean_width": fmean(width for given in widths.values() for width in given),
        "mc-moe": _figures(ours),
        "uniform_below": _figures(low),
        "uniform_above": _figures(high),
        "random_seeds": [each.value for each in chance],
        **{name: _figures(other) | dict(_against(other, ours)) for name, other in others.items()},
    }


def _against(other: Perplexity, ours: Perplexity) -> Iterator[tuple[str, Any]]:
    found = difference(other, ours)
    yield "loses_more", [found.mean, found.low, found.high]
    yield "verdict", "beaten" if found.low > 0 else ("better" if found.high < 0 else "undecided")


def _figures(found: Perplexity) -> dict[str, Any]:
    return {"perplexity": found.value, "interval": list(found.interval)}


def _original(model: Path) -> Any:
    import transformers

    loader = transformers.AutoModelForCausalLM.from_pretrained
    return loader(model, dtype=torch.float32, local_files_only=True, use_safetensors=True).eval()
