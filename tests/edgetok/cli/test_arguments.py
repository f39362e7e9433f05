import pytest

from edgetok.cli.arguments import plugin_list, read_recipe
from edgetok.errors import BadCommand, BadOption


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("model: a\nplugins: [tome:r=8]\nbench: {threads: 2}\nplan_digest: d\n")
    return path


def test_flags_and_overrides_change_the_file(config):
    flags = {"target": "x", "bench.threads": None, "eval.limit": 5}
    recipe = read_recipe(["plugins.tome.r=12", "seed=3"], config, flags)
    assert (recipe.model, recipe.target, recipe.bench.threads, recipe.eval.limit, recipe.seed) == ("a", "x", 2, 5, 3)
    assert recipe.plugins[0].options == {"r": 12}


def test_the_file_alone_keeps_its_digest(config):
    assert read_recipe(None, config, {}).plan_digest == "d"
    assert read_recipe(None, config, {"output": "o"}).plan_digest == "d"
    assert read_recipe(["b"], config, {}).plan_digest is None


def test_a_model_replaces_the_files(config):
    assert read_recipe(["b"], config, {}).model == "b"


def test_plugins_replace_the_files(config):
    recipe = read_recipe(["plugins.x.y=2"], config, {"plugins": plugin_list(["x:y=1", "z"])})
    assert [(use.name, use.options) for use in recipe.plugins] == [("x", {"y": 2}), ("z", {})]


def test_without_a_file_a_model_is_needed():
    assert read_recipe(["dir/a=b"], None, {}).model == "dir/a=b"
    with pytest.raises(BadCommand, match="no model"):
        read_recipe(["seed=1"], None, {})
    with pytest.raises(BadCommand, match="one model is wanted, not 2"):
        read_recipe(["a", "b"], None, {})


def test_plugin_lists_from_several_flags():
    assert plugin_list(None) is None
    assert plugin_list(["a:x=1", "b"]) == [{"name": "a", "options": {"x": 1}}, {"name": "b", "options": {}}]
    with pytest.raises(BadOption, match="given twice"):
        plugin_list(["a", "a"])
