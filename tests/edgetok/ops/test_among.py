"""Ranking, and matching among chosen tokens, against loops written from the definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from edgetok import ops
from edgetok.ops import decisions
from edgetok.ops.among import sort_among, sort_free_among
from edgetok.ops.select import sort_free_rank, sort_rank

RANK, AMONG = torch.ops.edgetok.rank_top.default, torch.ops.edgetok.match_among.default
Args = tuple[Tensor, Tensor | None, Tensor, Tensor, int]


def merged(metric: np.ndarray, sizes: np.ndarray | None, sources: list[int], targets: list[int], r: int):
    """One sample, straight from the definition, in fp64."""
    real = np.ones(len(metric), bool) if sizes is None else sizes > 0
    proposals = []
    for place, a in enumerate(sources):
        best, partner = -np.inf, -1
        for b in targets:
            cosine = metric[a] @ metric[b] / np.linalg.norm(metric[a]) / np.linalg.norm(metric[b])
            score = cosine if real[a] and real[b] else (-2.0 if real[a] or real[b] else 2.0)
            if score > best:
                best, partner = score, b
        proposals.append((-best, place, a, partner))
    chosen = sorted(proposals)[:r]
    gone = {a for _, _, a, _ in chosen}
    keep = [i for i in range(len(metric)) if i not in gone]
    return keep, [a for _, _, a, _ in chosen], [keep.index(b) for *_, b in chosen]


@st.composite
def matches(draw: st.DrawFn) -> Args:
    """Exact cosines (entries -1 or 1 in 4 dimensions): ties everywhere, rounding nowhere."""
    batch, n = draw(st.integers(1, 3)), draw(st.integers(2, 12))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    metric = torch.randint(0, 2, (batch, n, 4), generator=generator).float() * 2 - 1
    sizes = torch.randint(0, 4, (batch, n), generator=generator).float() if draw(st.booleans()) else None
    a = draw(st.integers(1, n - 1))
    b = draw(st.integers(1, n - a))
    ids = torch.stack([torch.randperm(n, generator=generator) for _ in range(batch)])
    return metric, sizes, ids[:, :a], ids[:, a : a + b], draw(st.integers(0, a))


@given(matches())
def test_matching_is_its_definition(args: Args) -> None:
    metric, sizes, sources, targets, r = args
    got = ops.match_among(*args)
    for i in range(len(metric)):
        one = None if sizes is None else sizes[i].numpy()
        expected = merged(metric[i].double().numpy(), one, sources[i].tolist(), targets[i].tolist(), r)
        assert tuple(part[i].tolist() for part in got) == expected


@given(matches())
def test_realisations_of_matching_agree_exactly(args: Args) -> None:
    for reference, free in zip(sort_among(*args), sort_free_among(*args), strict=True):
        assert free.is_floating_point()
        assert torch.equal(reference, free.long())
    carried = (*args[:2], args[2].float(), args[3].float(), args[4])
    assert all(torch.equal(a, b) for a, b in zip(sort_among(*carried), sort_among(*args), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(sort_free_among(*carried), sort_free_among(*args), strict=True))


@given(matches())
def test_own_matches_have_no_gap(args: Args) -> None:
    own = ops.match_among(*args)
    assert torch.equal(decisions.gap(AMONG, args, own), torch.zeros(len(args[0])))
    backwards = own[0], own[1].flip(1), own[2].flip(1)
    assert decisions.gap(AMONG, args, backwards).abs().max() == 0
    assert bool(decisions.same(AMONG, own, backwards).all())


@pytest.mark.parametrize(
    ("keep", "src", "dst", "cost"),
    [
        ([0, 1, 2, 4, 5], [3], [1], 0.0),  # 3 and 1 are alike
        ([0, 1, 2, 4, 5], [3], [2], 1.0),  # a worse partner
        ([0, 1, 2, 3, 4], [5], [1], 1.0),  # a worse source
        ([0, 1, 2, 3, 5], [4], [1], torch.inf),  # not a source
        ([0, 1, 2, 4, 5], [3], [4], torch.inf),  # not a target
        ([1, 0, 2, 4, 5], [3], [0], torch.inf),  # out of order
        ([0, 1, 2, 4, 4], [3], [1], torch.inf),  # twice
    ],
)
def test_what_a_match_gives_away(keep: list[int], src: list[int], dst: list[int], cost: float) -> None:
    metric = torch.eye(6)[None, [0, 1, 2, 1, 4, 5]]
    args = (metric, None, torch.tensor([[5, 3]]), torch.tensor([[1, 2]]), 1)
    assert decisions.gap(AMONG, args, [torch.tensor([part]) for part in (keep, src, dst)]).item() == cost


@pytest.mark.parametrize(("a", "b", "r"), [(2, 2, 3), (1, 0, 1), (4, 4, 2)])
def test_impossible_matches_are_refused(a: int, b: int, r: int) -> None:
    ids = torch.arange(8)[None]
    with pytest.raises(ValueError, match=f"r={r}, sources={a}, targets={b}, tokens=7"):
        ops.match_among(torch.zeros(1, 7, 2), None, ids[:, :a], ids[:, a : a + b], r)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=16), st.data())
def test_ranking_is_a_stable_sort(values: list[int], data: st.DataObject) -> None:
    protected = data.draw(st.integers(0, len(values)))
    k = data.draw(st.integers(0, len(values) - protected))
    scores = torch.tensor([values, values[::-1]], dtype=torch.float32)
    ranked = ops.rank_top(scores, k, protected)
    for row, found in zip(scores.tolist(), ranked.tolist(), strict=True):
        assert found == sorted(range(protected, len(row)), key=lambda i, row=row: (-row[i], i))[:k]
    assert torch.equal(sort_free_rank(scores, k, protected).long(), sort_rank(scores, k, protected))
    assert decisions.gap(RANK, (scores, k, protected), (ranked,)).tolist() == [0, 0]


def test_what_a_ranking_gives_away() -> None:
    args = (torch.tensor([[9.0, 4.0, 1.0, 3.0]]), 2, 1)
    for ranked, cost in (([1, 3], 0), ([3, 1], 0.25), ([1, 2], 0.5), ([0, 1], torch.inf), ([1, 1], torch.inf)):
        assert decisions.gap(RANK, args, (torch.tensor([ranked]),)).item() == cost
    assert decisions.gap(RANK, args, (torch.tensor([[1]]),)).item() == torch.inf


def test_a_ranking_of_too_many_is_refused() -> None:
    with pytest.raises(ValueError, match="k=8, tokens=8, protected=1"):
        ops.rank_top(torch.zeros(1, 8), 8, 1)
