"""The keys of a recipe."""

from __future__ import annotations

from pydantic import BaseModel, Field

from docs.generate.recipe import keys


class Inner(BaseModel):
    depth: int = Field(3, description="how deep")


class Outer(BaseModel):
    name: str = Field(description="what it is called")
    inner: Inner = Inner()


def test_nested_keys_are_dotted():
    assert list(keys(Outer)) == [
        ("`name`", "`str`", "required", "what it is called"),
        ("`inner.depth`", "`int`", "`3`", "how deep"),
    ]


def test_every_documented_recipe_loads(repository, tmp_path):
    import re

    import yaml

    from edgetok.recipe import Recipe

    page = (repository / "docs" / "recipe.md").read_text(encoding="utf-8")
    examples = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert examples
    for example in examples:
        assert Recipe.model_validate(yaml.safe_load(example)).model
