import pytest
from pydantic import ValidationError

from edgetok.recipe import PluginUse, Recipe


@pytest.mark.parametrize(
    "plugins",
    [
        "tome:r=[8,4],mc-moe",
        ["tome:r=[8,4]", "mc-moe"],
        {"tome": {"r": [8, 4]}, "mc-moe": None},
        [{"name": "tome", "options": {"r": (8, 4)}}, "mc-moe"],
        [PluginUse(name="tome", options={"r": [8, 4]}), PluginUse(name="mc-moe")],
    ],
)
def test_every_way_to_write_plugins_means_the_same(plugins):
    assert Recipe(model="m", plugins=plugins) == Recipe(
        model="m", plugins=(PluginUse(name="tome", options={"r": [8, 4]}), PluginUse(name="mc-moe"))
    )


def test_a_recipe_survives_json():
    recipe = Recipe(model="m", plugins="tome:r=(8,-1.0)", bench={"batches": (1, 32)})
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"model": ""},
        {"parity": {"samples": 0}},
        {"bench": {"batches": []}},
        {"bench": {"batches": [0]}},
        {"plugins": [{"name": "a"}, {"name": "a"}]},
        {"pins": ["a", "a"]},
        {"pickle": "no"},
    ],
)
def test_what_makes_no_sense_is_refused(change):
    with pytest.raises(ValidationError):
        Recipe.model_validate({"model": "m", **change})


def test_every_field_of_every_part_is_described():
    for model in (Recipe, PluginUse):
        for name, field in model.model_fields.items():
            assert field.description or name in {"parity", "eval", "calibration", "bench"}, name
