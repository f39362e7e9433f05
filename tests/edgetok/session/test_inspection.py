from functools import cache

import pytest

from edgetok.recipe_file import make_recipe
from edgetok.session import inspect

MODELS = ["vit", "bert", "dinov3", "windowed", "causal", "symbolic_tokens", "space_time"]


@pytest.fixture(scope="module")
def look():
    """``look("vit")``: the inspection of a model of the zoo, through the same door as a user's factory."""

    @cache
    def run(name, plugins=""):
        return inspect(make_recipe({"model": f"edgetok.testing.zoo:{name}", "plugins": plugins}))

    return run


@pytest.mark.parametrize("name", MODELS)
def test_golden_inspections(name, look, golden):
    golden(f"inspect/{name}.txt", str(look(name)))


def test_a_plan_is_shown_for_plugins_even_where_all_is_refused(look):
    seen = look("windowed", "tome:r=2")
    assert all(decision.refusal for decision in seen.plan.decisions)
    assert str(seen.plan) in str(seen)
    assert look("windowed").plan is None


def test_it_is_data(look):
    seen = look("bert")
    assert (seen.spaces[0].tokens, seen.spaces[0].segments) == (24, (1, 23))
    assert [(site.tokens, site.mask, site.obstacle) for site in seen.sites] == [(24, "padding", None)] * 3
    assert seen.inputs[0] == "input_ids int64 (batch, 24)"
    assert seen.model_validate_json(seen.model_dump_json()) == seen


def test_a_symbolic_number_of_tokens_is_any(look):
    seen = look("symbolic_tokens")
    assert seen.spaces[0].tokens == 0
    assert "space 0: any tokens" in str(seen)
