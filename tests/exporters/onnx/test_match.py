"""Decisions in onnxruntime are those of torch, in both realisations: the two files of matching are tested together."""

from __future__ import annotations

import pytest
import torch

from edgetok.ops import bipartite_match, match_among, max_r, rank_top, reduce, select_top

REALISATIONS = ["sort", "sort-free"]
SHAPES = [(16, 0, 4), (17, 1, 5), (12, 1, max_r(12, 1)), (21, 2, 3), (19, 5, 6), (9, 0, 5), (10, 1, 0)]


def metric_of(batch: int, n: int, d: int = 8, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch, n, d, generator=torch.Generator().manual_seed(seed))


def tied(batch: int, n: int, seed: int = 0) -> torch.Tensor:
    """Tokens from four directions, so that nearly every score is a tie."""
    choice = torch.randint(0, 4, (batch, n), generator=torch.Generator().manual_seed(seed))
    return torch.eye(4)[choice]


@pytest.mark.parametrize("match", REALISATIONS)
@pytest.mark.parametrize("order", ["reference", "kept"])
@pytest.mark.parametrize(
    ("n", "protected", "r"),
    [(16, 0, 4), (17, 1, 5), (12, 1, max_r(12, 1)), (21, 2, 3), (19, 5, 6), (9, 0, 5), (10, 1, 0)],
)
def test_the_same_merges_at_every_batch_size(capture, trip, agree, match, order, n, protected, r):
    program = capture(lambda x: bipartite_match(x, None, r, protected, order), {"x": metric_of(2, n)})
    runner = trip(program, match=match)
    for batch in (1, 2, 5):
        agree(runner, program, {"x": metric_of(batch, n, seed=batch)})


@pytest.mark.parametrize("match", REALISATIONS)
@pytest.mark.parametrize("order", ["reference", "kept"])
def test_ties_go_to_the_lower_index(capture, trip, agree, match, order):
    program = capture(lambda x: bipartite_match(x, None, 5, 1, order), {"x": tied(2, 19)})
    runner = trip(program, match=match)
    for seed in range(5):
        agree(runner, program, {"x": tied(3, 19, seed)})


@pytest.mark.parametrize("match", REALISATIONS)
@pytest.mark.parametrize("order", ["reference", "kept"])
def test_padding_merges_with_padding_first(capture, trip, agree, match, order):
    sizes = torch.tensor([[1.0] * 15, [2.0] * 9 + [0.0] * 6, [1.0] * 3 + [0.0] * 12])
    example = {"x": metric_of(3, 15), "sizes": sizes}
    program = capture(lambda x, sizes: bipartite_match(x, sizes, 4, 1, order), example)
    agree(trip(program, match=match), program, example)


@pytest.mark.parametrize("match", REALISATIONS)
def test_a_zero_token_has_no_direction(capture, trip, agree, match):
    x = metric_of(2, 12)
    x[:, 3] = 0
    program = capture(lambda x: bipartite_match(x, None, 3, 1, "reference"), {"x": x})
    agree(trip(program, match=match), program, {"x": x})


@pytest.mark.parametrize("match", REALISATIONS)
@pytest.mark.parametrize(("k", "protected"), [(5, 1), (3, 3), (7, 0), (9, 2)])
def test_select_top(capture, trip, agree, match, k, protected):
    scores = torch.randint(0, 5, (4, 13), generator=torch.Generator().manual_seed(k)).float()
    program = capture(lambda scores: (select_top(scores, k, protected),), {"scores": scores})
    runner = trip(program, match=match)
    agree(runner, program, {"scores": scores})
    agree(runner, program, {"scores": scores[:1]})


@pytest.mark.parametrize("match", REALISATIONS)
@pytest.mark.parametrize(("r", "padded"), [(4, False), (2, True), (0, False)])
def test_match_among_a_ranking(capture, trip, agree, match, r, padded):
    sizes = torch.tensor([[1.0] * 13, [2.0] * 9 + [0.0] * 4]) if padded else None

    def matching(x, scores, sizes=None):
        ranked = rank_top(scores, 8, 1)
        keep, src, dst = match_among(x, sizes, ranked[:, 0::2], ranked[:, 1::2], r)
        return ranked, keep, src, dst, reduce(scores.unsqueeze(-1), None, keep, src, dst, "max")

    for x in (metric_of(2, 13), tied(2, 13)):
        scores = torch.randint(0, 5, (2, 13), generator=torch.Generator().manual_seed(r)).float()
        example = {"x": x, "scores": scores, **({} if sizes is None else {"sizes": sizes})}
        program = capture(matching, example)
        agree(trip(program, match=match, reduce="gather" if match == "sort" else "one-hot"), program, example)
