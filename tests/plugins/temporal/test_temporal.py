"""Reduction between frames: against its definition, on joint space-time attention."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from edgetok.errors import BadOption
from edgetok.graph.capture import capture
from edgetok.options import build
from edgetok.registry import installed
from edgetok.testing import zoo
from edgetok.testing.trial import Trial, subject
from edgetok_plugins.temporal import Temporal
from edgetok_plugins.temporal.clips import Clips
from edgetok_plugins.temporal.density import prominence


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


@pytest.mark.parametrize(
    "options", [{"share": 1.0}, {"layers": [2, 1]}, {"layers": [-1]}, {"frames": -1}, {"segment": 0}]
)
def test_impossible_options_are_refused(options):
    with pytest.raises(BadOption):
        build(Temporal, options, "temporal")


def test_frames_that_do_not_divide_the_tokens_are_refused():
    decision = Trial(Temporal(frames=7), subject(zoo.vit)).plan.decisions[0]
    assert decision.refusal == "its 25 tokens are no whole number of 7 frames"


def prominence_by_hand(x: Tensor) -> list[float]:
    """The logarithm for one sample ``(n, c)``, token by token in double precision; no distance counts as -3e4."""
    n = len(x)
    apart = [[float((x[i] - x[j]).square().sum()) / x.shape[1] for j in range(n)] for i in range(n)]
    density = []
    for i in range(n):
        nearest = sorted(apart[i][j] for j in range(n) if j != i)[:4]
        density.append(-sum(nearest) / len(nearest))
    found = []
    for i in range(n):
        denser = [j for j in range(n) if density[j] > density[i]]
        far = min(apart[i][j] for j in denser) if denser else max(apart[i])
        found.append(density[i] + 0.5 * math.log(far) if far else -3e4)
    return found


@given(st.integers(0, 2**31), st.integers(2, 12), st.sampled_from([0.1, 1.0, 20.0]))
@settings(max_examples=60)
def test_prominence_is_density_times_distance_to_the_denser(seed: int, n: int, scale: float) -> None:
    """Also where ``exp`` of it is 0 in fp32; in the order, too, but where two are within what fp32 rounds."""
    x = scale * torch.randn(2, n, 5, generator=torch.Generator().manual_seed(seed)).double()
    found = prominence(x)
    for i in range(2):
        wanted = torch.tensor(prominence_by_hand(x[i]), dtype=torch.float64)
        torch.testing.assert_close(found[i].double(), wanted, rtol=1e-4, atol=1e-4)
        apart = wanted.unsqueeze(1) - wanted
        clear = apart > 1e-3 * wanted.abs().amax()
        assert bool((found[i].unsqueeze(1) > found[i])[clear].all())


class Prominence(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return prominence(x)


def test_no_massive_token_is_too_large_for_half_precision(tmp_path):
    """Core ML computes all of it in fp16: here with a token of which the squares add up to more than 65504."""
    pytest.importorskip("coremltools", reason="the extra 'coreml' is not installed")
    x = 0.6 * torch.randn(1, 16, 192, generator=torch.Generator().manual_seed(5))
    x[:, 3] *= 50
    assert float(x[:, 3].square().sum()) > torch.finfo(torch.float16).max
    program = capture(zoo.component("prominence", Prominence(), {"x": x}))
    target = installed().target("coreml")
    exporter = installed().exporter(target.exporter)
    entry = exporter.export(program, target, tmp_path, options=exporter.Options.model_validate(target.options)).entry
    found = torch.as_tensor(exporter.load(entry, threads=1)({"x": x.numpy()})[program.outputs[0].name]).float()
    torch.testing.assert_close(found, prominence(x), rtol=1e-2, atol=2e-2)
    assert int(found.argmin()) == 3


def test_equal_neighbours_count_each_for_itself():
    """Four copies are a token's four nearest: the density of a group of five is 1, and one of them is prominent."""
    x = torch.cat([torch.zeros(1, 5, 2), torch.tensor([[[3.0, 0], [6, 0], [9, 0]]])], 1)
    found = prominence(x)[0]
    assert int(found.argmax()) == 0
    assert float(found[1:5].max()) == float(found.min()) < float(found[5:].min())


def test_a_segment_merges_into_its_density_peaks():
    site = subject(zoo.videomae).sites[0]
    x = torch.randn(2, 45, 6, generator=torch.Generator().manual_seed(3))
    plugin = Temporal(how="density", layers=(0,), share=0.6, segment=2)
    keep = plugin.keep(site, 45)
    assert keep == 45 - 2 * 10
    found = plugin.reduce(signals_at(site, x), keep)
    for i in range(2):
        links, gone = set(), set()
        for start in (0, 18):
            rank = prominence_by_hand(x[i, start : start + 18].double())
            ranked = sorted(range(18), key=lambda a, rank=rank: -rank[a])
            anchors, others = ([start + a for a in part] for part in (ranked[:8], ranked[8:]))
            links |= {(a, max(anchors, key=lambda b, a=a: cosine(x[i, a], x[i, b]))) for a in others}
            gone |= set(others)
        into = found.keep[i][found.dst[i]].tolist()
        assert set(zip(found.src[i].tolist(), into, strict=True)) == links
        assert found.keep[i].tolist() == sorted(set(range(45)) - gone)


def test_segments_of_equal_tokens_come_back_exactly():
    kinds = torch.randn(1, 4, 6, generator=torch.Generator().manual_seed(4))
    x = torch.cat([kinds[:, torch.arange(36) % 4], torch.randn(1, 9, 6)], 1)
    plugin = Temporal(how="density", layers=(0,), share=7 / 9, segment=2)
    token_map = plugin.reduce(signals_at(subject(zoo.videomae).sites[0], x), 45 - 2 * 14)
    torch.testing.assert_close(token_map.restore(token_map.reduce(x, None, "mean"), 45), x)


def test_a_segment_is_at_most_all_frames_and_acts_once():
    trial = Trial(Temporal(how="density", layers=(0, 1), segment=9), subject(zoo.videomae))
    assert trial.plan.tokens == (45, 23, 23, 23)
    assert trial.plan.decisions[0].note == "1 segments of 45 tokens"
    assert Trial(Temporal(how="density", share=0.0), subject(zoo.videomae)).steps == []


def test_padding_has_no_density():
    decision = Trial(Temporal(how="density", frames=23), subject(zoo.bert)).plan.decisions[0]
    assert "padding" in decision.refusal
