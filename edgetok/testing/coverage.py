"""Whether token reduction works on an architecture: rewritten and compared, or refused and why."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from edgetok.errors import CaptureFailed, EdgetokError, NothingToRewrite
from edgetok.registry import installed
from edgetok.testing.reductions import Identity
from edgetok.testing.trial import NOWHERE, Subject, Trial, alike, difference, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from edgetok.plugin import TokenReduction
    from edgetok.testing.architectures import Architecture

CLOSE = 1e-5
"""Largest relative difference of a forced identity: where a model's memory layout changes, sums change their order."""
TARGET = "onnx-cpu"
"""Where an architecture's file is exported to and run."""
TOLERANCE = 1e-3
"""Largest relative difference of a file; near-ties may merge another pair, which shows as far more."""


class Support(BaseModel):
    """What was found for one architecture.

    Attributes:
        name, kind, model: as in ``Architecture``.
        works: whether it was rewritten.
        reason: why it was refused.
        sites, rewritten: attentions, and those that tokens were reduced after.
        tokens: entering each attention, and left at the end.
        identity: largest difference that a forced identity makes, relative to the largest value; 0 is bit for bit.
        change: the same of the reduction itself.
        shapes: whether every output keeps its shape and is finite.
        notes: what the capture said.
        seconds: to build, capture and rewrite.
        onnx: the largest relative difference between the exported file and the rewritten program, or what went wrong.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    kind: str
    model: str
    works: bool
    reason: str = ""
    sites: int = 0
    rewritten: int = 0
    tokens: tuple[int, ...] = ()
    identity: float | None = None
    change: float | None = None
    shapes: bool = True
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    onnx: float | str = "not exported"


def examine(architecture: Architecture, plugin: TokenReduction) -> tuple[Support, Trial]:
    """Capture, plan and walk a model eagerly: dense, with forced identities, and reduced."""
    begin = time.perf_counter()
    trial = Trial(plugin, Subject(architecture.component))
    row = Support(name=architecture.name, kind=architecture.kind, model=architecture.model, works=False)
    try:
        found = _walked(row, trial)
    except (CaptureFailed, NothingToRewrite) as refusal:
        sites = 0 if isinstance(refusal, CaptureFailed) else len(trial.subject.sites)
        found = row.model_copy(update={"reason": refusal.why, "sites": sites})
    return found.model_copy(update={"seconds": round(time.perf_counter() - begin, 2)}), trial


def _walked(row: Support, trial: Trial) -> Support:
    from edgetok.graph import run_rewritten
    from edgetok.plan import make_plan, steps_of

    program, sites = trial.subject.program, trial.subject.sites
    plan = make_plan(program, sites, [trial.plugin], NOWHERE)
    steps = steps_of(plan, sites, [trial.plugin])
    still = [replace(step, plugin=Identity(weigh=trial.plugin.proportional), keep=step.site.tokens) for step in steps]
    dense, same, reduced = (run_rewritten(program, each, program.example) for each in ((), still, steps))
    return row.model_copy(
        update={
            "works": True,
            "sites": len(sites),
            "rewritten": len(steps),
            "tokens": plan.tokens,
            "identity": _distance(same, dense),
            "change": _distance(reduced, dense),
            "shapes": all(_sound(found, want) for found, want in zip(reduced, dense, strict=True)),
            "notes": program.notes,
        }
    )


def _distance(found: Sequence[Tensor], want: Sequence[Tensor]) -> float:
    if alike(list(found), list(want)):
        return 0.0
    return max(difference(a, b) for a, b in zip(found, want, strict=True))


def _sound(found: Tensor, want: Tensor) -> bool:
    return found.shape == want.shape and bool(found.isfinite().all())


def exported(trial: Trial) -> float | str:
    """The largest relative difference between the rewritten program and its file for ``TARGET``, or the error."""
    import torch

    target = installed().target(TARGET)
    exporter = installed().exporter(target.exporter)
    try:
        with tempfile.TemporaryDirectory() as folder:
            entry = exporter.export(
                trial.optimised, target, Path(folder), stem="model", options=exporter.Options(**target.options)
            ).entry
            arrays = {name: tensor.numpy() for name, tensor in trial.subject.program.example.items()}
            outputs = exporter.load(entry)(arrays)
    except EdgetokError as error:
        return f"{error.code}: {error.what} {error.why}".strip()
    names = [spec.name for spec in trial.optimised.outputs]
    pairs = zip((torch.from_numpy(outputs[name]) for name in names), run(trial.optimised), strict=True)
    return max(difference(found, want) for found, want in pairs)
