import re
import tomllib

import pytest

from edgetok.registry import installed
from edgetok.target_file import load_target_file
from edgetok_targets import edgetok_targets

FILES = edgetok_targets()


@pytest.fixture(scope="module")
def extras(repository):
    with (repository / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    return {"": project["dependencies"], **project["optional-dependencies"]}


def test_there_are_targets_and_all_are_installed():
    assert {path.stem for path in FILES} == set(installed().targets)
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_target_file_holds_together(path, extras):
    target = load_target_file(path)
    assert target.name == path.stem
    assert target.summary
    assert target.exporter in installed().exporters
    assert target.extra in extras
    assert target.ops.source, "say where the table of operations is from"
    assert (target.memory_budget_mb is None) == (not target.memory_source), "a limit has a source"
    assert target.proof in ("run", "simulated") or not target.verified_by
    brought = {re.split(r"[^\w-]", requirement)[0].replace("-", "_") for requirement in extras[target.extra]}
    assert {target.packages.get(name, name).replace("-", "_") for name in target.requires} <= brought


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_defaults_are_options_of_the_exporter(path):
    target = load_target_file(path)
    options = installed().exporter(target.exporter).Options.model_validate(target.options)
    dtype = getattr(options, "dtype", "fp32")
    assert dtype in target.dtypes
