"""Reduction between frames: against its definition, on joint space-time attention."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from edgetok.errors import BadOption
from edgetok.options import build
from edgetok.testing import zoo
from edgetok.testing.trial import Trial, subject
from edgetok_plugins.temporal import Temporal
from edgetok_plugins.temporal.clips import Clips


def cosine(a: Tensor, b: Tensor) -> float:
    return float(a.double() @ b.double() / a.double().norm() / b.double().norm())


def signals_at(site, x: Tensor):
    from edgetok.graph.signals import Signals

    return Signals(site, x, None, x.shape[1], site.protected, False, lambda which: x.unsqueeze(1))


def test_the_later_of_two_frames_merges_into_the_earlier():
    site = subject(zoo.videomae).sites[0]
    x = torch.randn(2, 45, 6, generator=torch.Generator().manual_seed(0))
    found = Temporal(layers=(0,), share=0.4).reduce(signals_at(site, x), 39)
    for i in range(2):
        links = set()
        for start in (0, 18):
            earlier, later = range(start, start + 9), range(start + 9, start + 18)
            best = {a: max(earlier, key=lambda b, a=a: cosine(x[i, a], x[i, b])) for a in later}
            ranked = sorted(best, key=lambda a, best=best: -cosine(x[i, a], x[i, best[a]]))
            links |= {(a, best[a]) for a in ranked[:3]}
        into = found.keep[i][found.dst[i]].tolist()
        assert set(zip(found.src[i].tolist(), into, strict=True)) == links
        assert found.keep[i].tolist() == sorted(set(range(45)) - {a for a, _ in links})


def test_what_repeats_the_frame_before_is_dropped():
    site = subject(zoo.videomae).sites[0]
    x = torch.randn(1, 45, 6, generator=torch.Generator().manual_seed(1))
    found = Temporal(how="drop", layers=(0,), share=0.5).reduce(signals_at(site, x), 27)
    change = {i: 1 - cosine(x[0, i], x[0, i - 9]) for i in range(9, 45)}
    stay = sorted(change, key=lambda i: -change[i])[:18]
    assert found.keep[0].tolist() == sorted([*range(9), *stay])
    assert found.merged == 0


def test_clips_are_joined_again_and_again():
    clips = Clips.of(45, 5)
    assert (clips.count, clips.size, clips.rest) == (5, 9, 0)
    once = clips.joined(0.5)
    assert (once.count, once.size, once.rest) == (2, 14, 9)
    twice = once.joined(0.5)
    assert (twice.count, twice.size, twice.rest) == (1, 21, 9)
    assert twice.joined(0.5) == twice
    assert Trial(Temporal(layers=(0, 1, 2)), subject(zoo.videomae)).plan.tokens == (45, 37, 30, 30)


def test_a_still_video_comes_back_exactly():
    frame = torch.randn(1, 9, 6, generator=torch.Generator().manual_seed(2))
    x = frame.repeat(1, 5, 1)
    token_map = Temporal(layers=(0,), share=0.9).reduce(signals_at(subject(zoo.videomae).sites[0], x), 29)
    assert torch.equal(token_map.restore(token_map.reduce(x, None, "mean"), 45), x)


@pytest.mark.parametrize("options", [{"share": 1.0}, {"layers": [2, 1]}, {"layers": [-1]}, {"frames": -1}])
def test_impossible_options_are_refused(options):
    with pytest.raises(BadOption):
        build(Temporal, options, "temporal")


def test_frames_that_do_not_divide_the_tokens_are_refused():
    decision = Trial(Temporal(frames=7), subject(zoo.vit)).plan.decisions[0]
    assert decision.refusal == "its 25 tokens are no whole number of 7 frames"
