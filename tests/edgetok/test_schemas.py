import json

import pytest

from edgetok.schemas import NAMES, publish, schema_text


@pytest.mark.parametrize("name", NAMES)
def test_published_schemas_are_current(repository, name):
    published = repository / "docs" / "schema" / f"{name}.schema.json"
    assert published.read_text(encoding="utf-8") == schema_text(name), "run: python -m edgetok.schemas docs/schema"


def test_publishing_writes_them_all(tmp_path):
    paths = publish(tmp_path / "new")
    assert [path.name for path in paths] == [f"{name}.schema.json" for name in NAMES]
    assert all(json.loads(path.read_text())["properties"] for path in paths)


def test_the_recipe_schema_shows_the_short_plugin_forms():
    plugins = json.loads(schema_text("recipe"))["properties"]["plugins"]
    assert {form.get("type") for form in plugins["anyOf"]} == {"string", "object", "array"}


def test_the_manifest_schema_names_its_version():
    assert json.loads(schema_text("manifest"))["properties"]["schema"]["const"] == "edgetok.manifest/1"
