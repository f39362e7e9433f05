"""Where a reduction of grids acts: at many tokens, whose grid is the model's own or given."""

from __future__ import annotations

from typing import ClassVar

import pytest

from edgetok.gridded import Grid, Gridded, MinTokens
from edgetok.proportional import PropAttn
from edgetok.testing import zoo
from edgetok.testing.trial import subject


class Coarse(Gridded):
    """A reduction of grids with nothing of its own."""

    name: ClassVar[str] = "coarse"

    min_tokens: MinTokens = 8
    grid: Grid = None
    prop_attn: PropAttn = False


@pytest.mark.parametrize(
    ("factory", "options", "refusal"),
    [
        (zoo.dit, {}, None),
        (zoo.dit, {"min_tokens": 36}, None),
        (zoo.dit, {"min_tokens": 37}, "its 36 tokens are fewer than min_tokens = 37"),
        (zoo.transformer_encoder, {}, "its 24 tokens are not known to be a grid; if they are, say grid=[rows,columns]"),
        (zoo.transformer_encoder, {"grid": (4, 6)}, None),
        (zoo.transformer_encoder, {"grid": (5, 5)}, "say grid=[rows,columns]"),
        (zoo.causal, {"grid": (4, 6)}, "causal"),
    ],
)
def test_what_it_refuses(factory, options, refusal):
    found = [Coarse(**options).refuses(site) for site in subject(factory).sites]
    assert found
    for reason in found:
        assert reason is None if refusal is None else refusal in (reason or "")


def test_the_model_knows_its_grid_best():
    assert Coarse(grid=(4, 9)).grid_of(subject(zoo.dit).sites[0]) == (6, 6)
    assert Coarse(grid=(4, 6)).grid_of(subject(zoo.transformer_encoder).sites[0]) == (4, 6)
