import pytest
import yaml

from edgetok.errors import BadRecipe
from edgetok.recipe import Recipe
from edgetok.recipe_file import dump_recipe, is_override, load_recipe, make_recipe

TEXT = """\
model: sample:vit_digits
plugins:
  - tome:r=8
  - name: other
bench:
  threads: 2
plan_digest: abc
"""


@pytest.fixture
def recipe_path(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(TEXT)
    return path


def test_what_is_written_is_read(tmp_path):
    recipe = Recipe(model="m", plugins="tome:r=(8,-1.0)", exporter={"dtype": "fp16"}, plan_digest="d", output="o")
    path = tmp_path / "r.yaml"
    path.write_text(dump_recipe(recipe))
    assert load_recipe(path) == recipe


def test_overrides_reach_every_level(recipe_path):
    recipe = load_recipe(
        recipe_path,
        [
            "bench.batches=[1,32]",
            "target=onnx",
            "plugins.tome.r=12",
            "plugins.other.x=a",
            "eval.preprocessing.size=[8,9]",
        ],
    )
    assert recipe.bench.batches == (1, 32)
    assert recipe.bench.threads == 2
    assert recipe.target == "onnx"
    assert [(u.name, u.options) for u in recipe.plugins] == [("tome", {"r": 12}), ("other", {"x": "a"})]
    assert recipe.eval.preprocessing.size == (8, 9)


@pytest.mark.parametrize(
    ("override", "kept"),
    [
        ("bench.threads=1", True),
        ("output=o", True),
        ("plugins.tome.r=12", False),
        ("target=onnx", False),
        ("seed=1", False),
    ],
)
def test_changing_the_plan_drops_its_digest(recipe_path, override, kept):
    assert (load_recipe(recipe_path, [override]).plan_digest == "abc") is kept


def test_the_given_data_is_left_alone():
    data = {"model": "m", "bench": {"threads": 2}, "plugins": [{"name": "a", "options": {"x": 1}}]}
    make_recipe(data, {"bench.threads": 3, "plugins.a.x": 2})
    assert data == {"model": "m", "bench": {"threads": 2}, "plugins": [{"name": "a", "options": {"x": 1}}]}


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("bench", "is no override"),
        ("plugins.tme.r=1", "plugins.tome.OPTION, plugins.other.OPTION"),
        ("plugins.tome=1", "names no option of a plugin"),
        ("model.name=x", "which holds no keys"),
        ("bench.thread=1", "did you mean 'threads'?"),
        ("bench.threads=many", "override bench.threads"),
    ],
)
def test_bad_overrides(recipe_path, override, says):
    with pytest.raises(BadRecipe) as error:
        load_recipe(recipe_path, [override])
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("model: a\nmodel: b\n", "in lines 1 and 2"),
        ("model: [a\n", "line 2"),
        ("- a\n", "it holds list"),
        ("", "it holds NoneType"),
        ("model: a\nx: &a [1]\ny: *a\n", "aliases"),
        ("model: !!python/object/apply:os.system ['true']\n", "could not determine a constructor"),
        ("model: a\nseed: " + "[" * 2000 + "]" * 2000, "is not YAML"),
        ("a" * 1_100_000, "too large"),
    ],
)
def test_bad_files(tmp_path, text, says):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(BadRecipe) as error:
        load_recipe(path)
    assert says in str(error.value)


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(BadRecipe, match="cannot be read"):
        load_recipe(tmp_path / "none.yaml")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xff")
    with pytest.raises(BadRecipe, match="not UTF-8"):
        load_recipe(tmp_path / "b.yaml")


def test_a_resolved_recipe_shows_every_field():
    assert set(yaml.safe_load(dump_recipe(Recipe(model="m")))) == set(Recipe.model_fields)


@pytest.mark.parametrize(
    ("text", "yes"), [("a=1", True), ("plugins.mc-moe.r=[1]", True), ("path/a=1", False), ("a", False), ("=1", False)]
)
def test_overrides_are_recognised(text, yes):
    assert is_override(text) is yes
