"""Checks of what a plugin says about itself; they need no model."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from edgetok.errors import BadOption
from edgetok.options import build
from edgetok.plugin_checks import check_api, check_plugin_class, declared_api
from edgetok.tags import check_tags

if TYPE_CHECKING:
    from pydantic import BaseModel

    from edgetok.plugin import Plugin

HEAVY = ("torch", "onnx", "onnxruntime", "onnxscript", "transformers", "coremltools", "executorch", "numpy", "scipy")


class DeclarationChecks:
    """What every plugin must declare, of whatever stage.

    Attributes:
        plugin: an instance, with options under which it does something.
    """

    plugin: Plugin

    def test_name_is_kebab_case(self) -> None:
        """Name, summary, paper and stages are stated, and the name is kebab-case."""
        check_plugin_class(type(self.plugin))

    def test_source_is_stated(self) -> None:
        """``paper`` names a title and an address."""
        assert re.search(r"\w{3}.*https?://\S+", self.plugin.paper), (
            f"paper has no title and address: {self.plugin.paper!r}"
        )

    def test_docstring_says_what_it_does(self) -> None:
        """The class docstring is there: formula, and where it departs from the source."""
        own = type(self.plugin).__dict__.get("__doc__") or ""
        assert len(inspect.cleandoc(own).split()) >= 10, (
            "the class docstring should say what is computed, and departures"
        )

    def test_api_version_is_stated(self) -> None:
        """The class, or the module of its entry point, says for which API version it was written."""
        cls = type(self.plugin)
        stated = declared_api(cls) or getattr(sys.modules.get(cls.__module__), "api_version", None)
        check_api(self.plugin.name, stated, cls.__module__)

    def test_tags_are_known(self) -> None:
        """``after``, ``changes`` and ``excludes`` use the vocabulary of ``edgetok.tags``."""
        check_tags(self.plugin.name, {*self.plugin.after, *self.plugin.changes, *self.plugin.excludes})
        assert self.plugin.changes, "a plugin that changes nothing: state the tags of what it changes"

    def test_options_are_documented(self) -> None:
        """Every field says what it means, in its description or in the docstring."""
        bare = undocumented(type(self.plugin))
        assert not bare, f"options without a description: {', '.join(bare)}"

    def test_options_survive_json(self) -> None:
        """Options as plain data, through JSON and back, give the same plugin; so recipes replay."""
        data = json.loads(json.dumps(self.plugin.options()))
        again = type(self.plugin)(**data)
        assert again == self.plugin, f"{data} reads back as {again!r}"
        type(self.plugin).model_json_schema()

    def test_options_are_frozen(self) -> None:
        """Options cannot change after the plan was made."""
        assert type(self.plugin).model_config.get("frozen"), "model_config must keep frozen=True"

    def test_unknown_option_is_refused(self) -> None:
        """A misspelt option is an error that lists the valid ones, never ignored."""
        with pytest.raises(BadOption) as caught:
            build(type(self.plugin), {**self.plugin.options(), "no_such_option": 1}, self.plugin.name)
        missing = [name for name in type(self.plugin).model_fields if name not in caught.value.hint]
        assert not missing, f"the error does not list {missing}"

    def test_importing_it_is_light(self) -> None:
        """Its module imports nothing heavy: ``edgetok plugins list`` imports every plugin."""
        check_light(type(self.plugin).__module__)


def check_light(module: str) -> None:
    """Fail where importing a module, in a process of its own, imports something heavy."""
    program = (
        f"import sys; sys.path[:] = {sys.path!r}; import {module}; print(*sorted({set(HEAVY)!r} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=dict(os.environ), check=False)
    assert done.returncode == 0, f"importing {module} fails:\n{done.stderr[-2000:]}"
    assert not done.stdout.split(), f"importing {module} imports {done.stdout.strip()}; import inside functions"


def undocumented(model: type[BaseModel]) -> list[str]:
    """Fields that neither have a description of more than one word nor are listed in the docstring as ``name: ...``."""
    listed = set(re.findall(r"^[ \t]*(\w+):[ \t]+\S+[ \t]+\S+", model.__doc__ or "", re.MULTILINE))
    bare = [name for name, field in model.model_fields.items() if len((field.description or "").split()) < 2]
    return [name for name in bare if name not in listed]
