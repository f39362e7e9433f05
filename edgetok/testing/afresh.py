"""A reduction tried once more, on a model captured afresh and under another random state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from edgetok.graph import rewrite, run_rewritten
from edgetok.testing.trial import Subject, Trial, alike, notes, run, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from edgetok.plugin import TokenReduction
    from edgetok.testing.cases import Factory

SEEDS = 17, 18
"""Random states: of rewriting, and of running."""


@dataclass(frozen=True)
class Afresh:
    """What came of it.

    Attributes:
        changed: what was lent to the plugin and is no longer what it was, in words for people.
        text: the rewritten program, as ``edgetok.testing.trial.text`` tells it.
        outputs: what that program makes of the example inputs.
    """

    changed: tuple[str, ...]
    text: list[str]
    outputs: list[Tensor]


def afresh(plugin: TokenReduction, factory: Factory) -> Afresh:
    """Capture, walk with real values, rewrite and run; and look at everything that was given before and after."""
    subject = Subject(factory)
    module, program, inputs = subject.component.module, subject.program, subject.component.inputs
    state, given = _copied(module.state_dict()), _copied(inputs)
    graph, marks, shown, outputs = text(program), notes(program), repr(module), run(program)
    steps = Trial(plugin, subject).steps
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEEDS[0])
        run_rewritten(program, steps, given)
        rewritten = rewrite(program, steps)
        torch.manual_seed(SEEDS[1])
        found = run(rewritten)
    unchanged = {
        "the program it was given": text(program) == graph and notes(program) == marks,
        "the module": repr(module) == shown,
        "a weight": _same(module.state_dict(), state),
        "an input": _same(inputs, given),
        "what the program computes": alike(run(program), outputs),
    }
    return Afresh(tuple(name for name, same in unchanged.items() if not same), text(rewritten), found)


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}


def _same(tensors: Mapping[str, Tensor], copies: Mapping[str, Tensor]) -> bool:
    return all(torch.equal(tensor, copies[name]) for name, tensor in tensors.items())
