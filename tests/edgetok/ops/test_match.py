"""Bipartite matching against Token Merging written out per sample, and its realisations against each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from edgetok import ops
from edgetok.ops.decisions import gap
from edgetok.ops.layout import step
from edgetok.ops.match import bipartite_scores, first_max, sort_free_match, sort_match

Plain = tuple[list[int], list[int], list[int]]


def token_merging(metric: np.ndarray, sizes: np.ndarray | None, r: int, protected: int, order: str) -> Plain:
    """One sample, straight from the definition, in fp64."""
    n = len(metric)
    real = np.ones(n, bool) if sizes is None else sizes > 0
    evens = [i for i in range(n) if i % 2 == 0 and i >= protected]
    odds = [i for i in range(n) if i % 2 == 1 and i >= protected]
    proposals = []
    for a in evens:
        best, partner = -np.inf, -1
        for b in odds:
            cosine = metric[a] @ metric[b] / np.linalg.norm(metric[a]) / np.linalg.norm(metric[b])
            score = cosine if real[a] and real[b] else (-2.0 if real[a] or real[b] else 2.0)
            if score > best:
                best, partner = score, b
        proposals.append((-best, a, partner))
    merged = sorted(proposals)[:r]
    gone = {a for _, a, _ in merged}
    keep = list(range(protected)) + [a for a in evens if a not in gone] + odds
    keep = sorted(keep) if order == "kept" else keep
    return keep, [a for _, a, _ in merged], [keep.index(b) for _, _, b in merged]


@st.composite
def matches(draw: st.DrawFn) -> tuple[Tensor, Tensor | None, int, int, str]:
    """Arguments with exact cosines (entries are -1 or 1 in 4 dimensions): ties everywhere, rounding nowhere."""
    batch, n, protected = draw(st.integers(1, 3)), draw(st.integers(1, 13)), draw(st.integers(0, 5))
    protected = min(protected, n)
    seed = draw(st.integers(0, 2**31))
    generator = torch.Generator().manual_seed(seed)
    metric = torch.randint(0, 2, (batch, n, 4), generator=generator).float() * 2 - 1
    sizes = None
    if draw(st.booleans()):
        sizes = torch.randint(0, 4, (batch, n), generator=generator).float()
    top = ops.max_r(n, protected)
    r = draw(st.sampled_from([0, top]) | st.integers(0, top))
    return metric, sizes, r, protected, draw(st.sampled_from(["reference", "kept"]))


@given(matches())
@settings(deadline=None, max_examples=200)
def test_reference_is_token_merging(args: tuple[Tensor, Tensor | None, int, int, str]) -> None:
    metric, sizes, r, protected, order = args
    got = ops.bipartite_match(metric, sizes, r, protected, order)
    for i in range(len(metric)):
        one = None if sizes is None else sizes[i].double().numpy()
        expected = token_merging(metric[i].double().numpy(), one, r, protected, order)
        assert tuple(part[i].tolist() for part in got) == expected


@given(matches())
@settings(deadline=None, max_examples=200)
def test_realisations_agree_exactly(args: tuple[Tensor, Tensor | None, int, int, str]) -> None:
    for reference, free in zip(sort_match(*args), sort_free_match(*args), strict=True):
        assert reference.shape == free.shape
        assert free.is_floating_point()
        assert torch.equal(reference, free.long())


@given(st.integers(0, 2**31), st.integers(2, 60), st.integers(0, 5), st.sampled_from(["reference", "kept"]))
@settings(deadline=None, max_examples=60)
def test_realisations_agree_on_real_numbers_and_duplicates(seed: int, n: int, protected: int, order: str) -> None:
    generator = torch.Generator().manual_seed(seed)
    metric = torch.randn(2, n, 8, generator=generator)[:, torch.randint(0, n, (n,), generator=generator)]
    r = ops.max_r(n, min(protected, n)) // 2
    args = (metric, None, r, min(protected, n), order)
    for reference, free in zip(sort_match(*args), sort_free_match(*args), strict=True):
        assert torch.equal(reference, free.long())


def test_batch_equals_samples() -> None:
    metric = torch.randn(5, 21, 16, generator=torch.Generator().manual_seed(0))
    together = ops.bipartite_match(metric, None, 6, 1)
    for i in range(5):
        alone = ops.bipartite_match(metric[i : i + 1], None, 6, 1)
        assert all(torch.equal(a[i], b[0]) for a, b in zip(together, alone, strict=True))


def test_many_sources_go_to_one_destination() -> None:
    metric = torch.eye(4).repeat_interleave(3, 0)[None]
    metric[:, ::2] = metric[:, 1:2]
    _, src, dst = ops.bipartite_match(metric, None, 6, 0)
    assert src.tolist() == [[0, 2, 4, 6, 8, 10]]
    assert set(dst.flatten().tolist()) == {0}


@pytest.mark.parametrize("realisation", [sort_match, sort_free_match])
def test_padding_pairs_first_and_never_with_real(realisation: object) -> None:
    metric = torch.ones(1, 10, 4)
    sizes = torch.tensor([[1.0, 1, 1, 1, 1, 1, 0, 0, 0, 0]])
    keep, src, dst = (
        sort_match(metric, sizes, 4, 1, "kept")
        if realisation is sort_match
        else sort_free_match(metric, sizes, 4, 1, "kept")
    )
    assert src.tolist() == [[6, 8, 2, 4]]
    assert keep.gather(1, dst.long()).tolist() == [[7, 7, 1, 1]]


def test_first_max_takes_the_lowest_index_of_long_ties() -> None:
    scores = torch.zeros(2, 3, 1000)
    scores[:, :, 500:] = 1.0
    best, where = first_max(scores)
    assert torch.equal(best, torch.ones(2, 3))
    assert torch.equal(where, torch.full((2, 3), 500))


def test_nan_metric_still_gives_a_valid_map() -> None:
    keep, src, dst = ops.bipartite_match(torch.full((1, 8, 4), torch.nan), None, 2, 1)
    assert torch.cat([keep, src], 1).sort().values.tolist() == [list(range(8))]
    assert (dst < keep.shape[1]).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_step_sees_the_smallest_difference(dtype: torch.dtype) -> None:
    smallest = torch.finfo(dtype).smallest_normal
    t = torch.tensor([-2.0, -smallest, 0.0, smallest, 2.0], dtype=dtype)
    assert step(t).tolist() == [0, 0, 0, 1, 1]


class Half(torch.fx.Interpreter):
    """Runs a graph as a converter to fp16 would have it: every floating constant and value is fp16."""

    def run_node(self, n: torch.fx.Node) -> object:
        result = super().run_node(n)
        return result.half() if isinstance(result, Tensor) and result.is_floating_point() else result

    def call_function(self, target: object, args: tuple, kwargs: dict) -> object:
        assert all(abs(a) < torch.finfo(torch.float16).max for a in args if isinstance(a, float))
        kwargs = {k: torch.float16 if v == torch.float32 else v for k, v in kwargs.items()}
        return super().call_function(target, args, kwargs)


def test_sort_free_survives_conversion_to_fp16() -> None:
    """With ``dtype`` named, no constant overflows, no norm overflows or vanishes, and ids stay exact."""
    generator = torch.Generator().manual_seed(0)
    metric = torch.randn(4, 25, 16, generator=generator) * torch.tensor([1e-3, 1.0, 60.0, 1e3]).view(-1, 1, 1)
    metric[:, 5] = 0
    args = (None, 7, 1, "kept")
    graph = make_fx(lambda m: sort_free_match(m, *args, dtype=torch.float16))(metric.half())
    found = Half(graph).run(metric.half())
    assert all(part.dtype == torch.float16 for part in found)
    assert (gap(torch.ops.edgetok.bipartite_match.default, (metric, *args), found) < 4e-3).all()


def test_half_metric_is_scored_in_fp32() -> None:
    assert bipartite_scores(torch.full((1, 4, 64), 100.0, dtype=torch.float16), None, 0).dtype == torch.float32
    assert torch.allclose(
        bipartite_scores(torch.full((1, 4, 64), 100.0, dtype=torch.float16), None, 0), torch.tensor(1.0)
    )


@pytest.mark.parametrize(
    ("n", "r", "protected", "order", "said"),
    [(8, 5, 0, "kept", "r=5"), (8, -1, 0, "kept", "r=-1"), (8, 1, 9, "kept", "protected=9"), (8, 1, 1, "up", "'up'")],
)
def test_refuses_what_does_not_fit(n: int, r: int, protected: int, order: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ops.bipartite_match(torch.randn(1, n, 4), None, r, protected, order)  # type: ignore[arg-type]
