"""Checks of the token maps a reduction makes, and of what tokens, padding and samples may know of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edgetok.testing.stage import Stage
from edgetok.testing.trial import Trial, difference, run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgetok.testing.cases import Case
    from edgetok.testing.reductions import Watched

CLOSE = 1e-4
"""Largest relative difference between two ways of batching: sums are taken in another order."""


class TokenChecks(Stage):
    """Sound maps, conserved sizes, silent padding, independent samples."""

    def test_token_maps_are_sound(self, accepted: Case) -> None:
        """Every old token goes to one place at most, every new one has a representative, the protected stay put."""
        for call in self.trial(accepted).watched:
            _check_sound(call)

    def test_signals_are_left_alone(self, accepted: Case) -> None:
        """``reduce`` changes none of its signals in place."""
        changed = {f"{call.site}: {name}" for call in self.trial(accepted).watched for name in call.changed}
        assert not changed, f"changed in place: {sorted(changed)}"

    def test_sizes_are_conserved(self, accepted: Case) -> None:
        """As long as tokens are merged and none is dropped, sizes add up to the number of real tokens."""
        trial = self.trial(accepted)
        start: dict[int, Tensor | None] = {}
        for step, call in zip(trial.steps, trial.watched, strict=True):
            total, space = call.sizes.sum(1), step.site.space.index
            want = start.setdefault(space, total)
            if want is not None:
                torch.testing.assert_close(total, want, msg=f"{call.site}: sizes sum to {total}, not {want}")
            if call.map.keep.shape[1] + call.map.merged < call.tokens:
                start[space] = None

    def test_padding_stays_apart(self, accepted: Case) -> None:
        """Padding merges with padding only, and what it holds changes no output of a real token."""
        trial = self.trial(accepted)
        for call in trial.watched:
            _check_apart(call)
        marks = _padding_inputs(trial)
        if marks is None:
            return
        real = trial.subject.program.example[marks].bool()
        assert not bool(real.all()), "the example of this case has no padding"
        inputs = {
            name: t if name == marks else _repainted(t, real) for name, t in trial.subject.program.example.items()
        }
        for found, want in zip(run(trial.optimised, inputs), trial.outputs, strict=True):
            worst = difference(_real(found, real), _real(want, real))
            assert worst <= CLOSE, f"other padding changes real tokens by {worst:.2g} of the largest value"

    def test_samples_do_not_see_each_other(self, accepted: Case) -> None:
        """A sample gives the same alone as in a batch."""
        trial = self.trial(accepted)
        if not _any_batch(trial):
            return
        for index in range(_batch(trial)):
            alone = run(trial.optimised, _rows(trial, slice(index, index + 1)))
            for found, together in zip(alone, trial.outputs, strict=True):
                worst = difference(found, together[index : index + 1])
                assert worst <= CLOSE, f"sample {index} differs by {worst:.2g} when it is alone"

    def test_any_batch_size_works(self, accepted: Case) -> None:
        """A model captured with a dynamic batch keeps it."""
        trial = self.trial(accepted)
        symbolic = [spec for spec in trial.subject.program.inputs if not isinstance(spec.shape[0], int)]
        kept = [spec for spec in trial.optimised.inputs if not isinstance(spec.shape[0], int)]
        assert len(kept) == len(symbolic), "the batch was dynamic and is fixed now"
        if not _any_batch(trial):
            return
        first, more = _rows(trial, slice(0, 1)), trial.subject.program.example
        outputs = run(trial.optimised, {name: torch.cat([t, first[name]]) for name, t in more.items()})
        assert all(t.shape[0] == _batch(trial) + 1 for t in outputs), "an output has another batch size than the inputs"


def _check_sound(call: Watched) -> None:
    keep, src, dst, at = call.map.keep, call.map.src, call.map.dst, call.site
    for name, ids, limit in (("keep", keep, call.tokens), ("src", src, call.tokens), ("dst", dst, keep.shape[1])):
        assert ids.dtype == torch.int64, f"{at}: {name} is {ids.dtype}, not int64"
        assert ids.shape[0] == call.sizes.shape[0], f"{at}: {name} has batch {ids.shape[0]}"
        assert not ids.numel() or (int(ids.min()) >= 0 and int(ids.max()) < limit), (
            f"{at}: {name} is out of 0..{limit - 1}"
        )
    both = torch.cat([keep, src], 1).sort(1).values
    assert bool((both[:, 1:] != both[:, :-1]).all()), f"{at}: a token is kept twice, or kept and merged away"
    front = torch.arange(call.protected).expand(keep.shape[0], -1)
    assert torch.equal(keep[:, : call.protected], front), f"{at}: the first {call.protected} tokens must stay in place"
    assert not bool((dst < call.protected).any()), f"{at}: something merges into a protected token"


def _check_apart(call: Watched) -> None:
    merged, into = call.sizes.gather(1, call.map.src), call.sizes.gather(1, call.map.keep).gather(1, call.map.dst)
    mixed = (merged > 0) != (into > 0)
    assert not bool(mixed.any()), f"{call.site}: {int(mixed.sum())} merges of padding with a real token"


def _padding_inputs(trial: Trial) -> str | None:
    """The input that marks padding, where the attention of a site heeds one."""
    names = {node: name for name, node in trial.subject.program.placeholders.items()}
    sources = {step.site.mask.source for step in trial.steps if step.site.mask.kind == "padding"}
    return names[sources.pop()] if sources else None


def _repainted(tensor: Tensor, real: Tensor) -> Tensor:
    """An input with other content in its padding: that of the other tokens, in reverse."""
    if tensor.shape[:2] != real.shape:
        return tensor
    keep = real.reshape(*real.shape, *[1] * (tensor.dim() - 2))
    return torch.where(keep, tensor, tensor.flip(1))


def _real(output: Tensor, real: Tensor) -> Tensor:
    return output[real] if output.shape[:2] == real.shape else output


def _any_batch(trial: Trial) -> bool:
    return all(not isinstance(spec.shape[0], int) for spec in trial.subject.program.inputs)


def _batch(trial: Trial) -> int:
    return int(next(iter(trial.subject.program.example.values())).shape[0])


def _rows(trial: Trial, rows: slice) -> Mapping[str, Tensor]:
    return {name: tensor[rows] for name, tensor in trial.subject.program.example.items()}
