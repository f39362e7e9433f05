"""ToDo's cells against interpolation and pooling, and the attentions it leaves alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from edgetok.errors import BadOption, TagConflict
from edgetok.options import build
from edgetok.order import order
from edgetok.testing import zoo
from edgetok.testing.trial import Trial, subject
from edgetok_plugins.todo import ToDo
from edgetok_plugins.todo.sampling import sampled


@given(st.integers(0, 2), st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.booleans())
def test_cells_are_those_of_interpolation_and_pooling(front: int, h: int, w: int, factor: int, pooled: bool) -> None:
    grid = (h * factor, w * factor)
    x = torch.randn(2, front + grid[0] * grid[1], 5, generator=torch.Generator().manual_seed(h))
    image = x[:, front:].transpose(1, 2).reshape(2, 5, *grid)
    small = F.avg_pool2d(image, factor) if pooled else F.interpolate(image, size=(h, w), mode="nearest")
    found = sampled(x, front, grid, factor, pooled=pooled)
    got = found.reduce(x, None, "mean")
    torch.testing.assert_close(got[:, front:], small.flatten(2).transpose(1, 2))
    assert torch.equal(got[:, :front], x[:, :front])
    back = F.interpolate(small, scale_factor=factor, mode="nearest").flatten(2).transpose(1, 2)
    torch.testing.assert_close(found.restore(got, x.shape[1])[:, front:], back)
    assert found.restore(got, x.shape[1])[:, :front].equal(x[:, :front])
    ids = torch.arange(x.shape[1]).expand(2, -1).unsqueeze(-1)
    assert torch.equal(found.reduce(ids, None, "first").squeeze(-1), found.keep)
    sizes = found.reduce(torch.ones(2, x.shape[1], 1), None, "sum")
    assert sizes[:, front:].eq(factor**2).all()
    assert sizes[:, :front].eq(1).all()


def test_moved_behind_other_tokens_it_does_the_same():
    x = torch.randn(2, 17, 3)
    found, longer = sampled(x, 1, (4, 4), 2, pooled=True), torch.cat([x[:, :2], x], 1)
    got = found.preceded_by(2).reduce(longer, None, "mean")
    assert torch.equal(got[:, 2:], found.reduce(x, None, "mean"))
    assert torch.equal(found.preceded_by(2).window(2, 7).reduce(x, None, "mean"), found.reduce(x, None, "mean"))


def test_queries_stay_and_levels_differ():
    trial = Trial(ToDo(min_tokens=32), subject(zoo.unet))
    assert [d.keep for d in trial.plan.decisions] == [16, 16, 16]
    assert ["min_tokens" in (d.refusal or "") for d in trial.plan.decisions] == [False, True, False]
    shapes = [
        [tuple(a.meta["val"].shape[-2:]) for a in node.args[:2]]
        for node in trial.optimised.graph.nodes
        if "scaled_dot_product_attention" in str(node.target)
    ]
    assert shapes[0] == [(64, 8), (16, 8)]
    assert shapes[2] == [(16, 8), (16, 8)], "the low resolution is left alone"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"factor": 4}, "does not divide by 4"),
        ({"min_tokens": 37}, "fewer than min_tokens = 37"),
    ],
)
def test_what_does_not_fit_is_refused(options, why):
    plan = Trial(ToDo(**{"min_tokens": 1, **options}), subject(zoo.dit)).plan
    assert all(why in (d.refusal or "") for d in plan.decisions)


def test_a_grid_that_the_model_does_not_show_can_be_given():
    found = subject(zoo.transformer_encoder)
    assert [d.keep for d in Trial(ToDo(min_tokens=1, grid=(4, 6)), found).plan.decisions] == [6, 6, 6]
    refused = Trial(ToDo(min_tokens=1, grid=(5, 5)), found).plan
    assert all("grid=[rows,columns]" in (d.refusal or "") for d in refused.decisions)


def test_it_goes_with_no_other_reduction():
    from edgetok_plugins.tome import ToMe

    with pytest.raises(TagConflict):
        order([ToDo(), ToMe()])


@pytest.mark.parametrize(
    "options",
    [{"factor": 0}, {"pool": "max"}, {"min_tokens": 0}, {"grid": [4]}, {"grid": [-4, -6]}, {"grid": [0, 6]}],
)
def test_impossible_options_are_refused(options):
    with pytest.raises(BadOption):
        build(ToDo, options, "todo")
