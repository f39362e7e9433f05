"""Checks of what reaches a user: the exported file, and what the method loses on a trained model."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from edgetok.doctor import try_imports
from edgetok.graph import rewrite
from edgetok.graph.retrace import Step
from edgetok.registry import installed
from edgetok.requirements import has_device, missing
from edgetok.testing.reductions import RandomDrop
from edgetok.testing.stage import Stage
from edgetok.testing.trial import difference, run

if TYPE_CHECKING:
    from pydantic import BaseModel
    from torch.fx import Node

    from edgetok.exporter import Exporter
    from edgetok.graph import Program
    from edgetok.graph.scope import Extent
    from edgetok.target import Target
    from edgetok.testing.cases import Case, Task
    from edgetok.testing.trial import Subject, Trial

SAME = 1e-3
"""Largest relative difference between the program and its file, in fp32."""


class DeliveryChecks(Stage):
    """Export and reload; a task loss within a bound that means something."""

    def test_exported_file_computes_the_same(self, exported: Case) -> None:
        """The file, loaded again, agrees with torch; where ``everywhere``, the first case by each exporter."""
        trial, every = self.trial(exported), self.everywhere and exported is self.rows()["exported"][0]
        targets = list(islice(targets_here(), None if every else 1))
        if not targets:
            pytest.skip("no target that is installed runs here")
        for target in targets:
            _check_file(trial, target)

    def test_task_loss_is_within_its_bound(self, lossy: Case) -> None:
        """The loss on the task is at most what the author says."""
        task, trial = _task(lossy), self.trial(lossy)
        loss = task.loss(trial.subject.dense, trial.optimised)
        assert loss <= task.at_most, f"loses {loss:.4g} {task.unit}; the bound is {task.at_most:.4g}"

    def test_task_bound_is_not_idle(self, lossy: Case) -> None:
        """Random tokens, as many at the same places, lose more than the bound."""
        task, trial = _task(lossy), self.trial(lossy)
        loss = task.loss(trial.subject.dense, dropped(trial))
        assert loss > task.at_most, (
            f"dropping random tokens loses {loss:.4g} {task.unit}, within the bound of {task.at_most:.4g}: the bound "
            "says nothing about the method. Reduce more in this case, or lower the bound."
        )


def targets_here() -> Iterator[Target]:
    """One installed fp32 target per exporter whose packages are here and whose runtime is too.

    One at a time: to find out takes a process that imports the packages.
    """
    found: set[str] = set()
    for held in sorted(
        installed().targets.values(), key=lambda held: (held.name != "onnx-cpu", held.value.proof != "run")
    ):
        target = held.value
        here = target.exporter in installed().exporters and target.verified_by and not missing(target.requires)
        here = here and target.proof in ("run", "simulated") and has_device(target) and target.dtypes[0] == "fp32"
        if here and target.exporter not in found and not try_imports(target.requires):
            found.add(target.exporter)
            yield target


def dropped(trial: Trial) -> Program:
    """The program of a trial with random tokens in place of the chosen ones; one for all that leave as many."""
    return _dropped(trial.subject, trial.plugin.extent, tuple((step.site.node, step.keep) for step in trial.steps))


@cache
def _dropped(subject: Subject, extent: Extent, kept: tuple[tuple[Node, int], ...]) -> Program:
    sites, drop = {site.node: site for site in subject.sites}, RandomDrop(reaches=extent)
    return rewrite(subject.program, [Step(sites[node], drop, keep) for node, keep in kept])


def _check_file(trial: Trial, target: Target) -> None:
    exporter = installed().exporter(target.exporter)
    options = precise_options(exporter, target)
    fixed = getattr(options, "batch", "dynamic")
    inputs = dict(trial.subject.program.example)
    if fixed != "dynamic":
        inputs = {name: tensor[: int(fixed)] for name, tensor in inputs.items()}
    with tempfile.TemporaryDirectory(prefix="edgetok-kit-") as folder:
        exported = exporter.export(trial.optimised, target, Path(folder), options=options)
        found = exporter.load(exported.entry, threads=1)({name: np.asarray(x) for name, x in inputs.items()})
    for spec, want in zip(trial.optimised.outputs, run(trial.optimised, inputs), strict=True):
        worst = difference(torch.as_tensor(found[spec.name]), want)
        assert worst <= SAME, f"{target.name}: output {spec.name} differs by {worst:.2g} of its largest value"


def precise_options(exporter: Exporter, target: Target) -> BaseModel:
    """The target's own options for its exporter; in fp32 where it has that."""
    precise = {"dtype": "fp32"} if "dtype" in exporter.Options.model_fields and "fp32" in target.dtypes else {}
    return exporter.Options.model_validate({**target.options, **precise})


def _task(case: Case) -> Task:
    assert case.task is not None
    return case.task
