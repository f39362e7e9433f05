"""One constraints file pins every direct dependency within its range, and CI runs what a person runs."""

from __future__ import annotations

import os
import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


@pytest.fixture(scope="module")
def project(repository):
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def pins(repository):
    """Pinned versions by canonical name."""
    lines = (repository / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def test_every_direct_dependency_is_pinned_within_its_range(project, pins):
    extras = [text for texts in project["optional-dependencies"].values() for text in texts]
    for requirement in map(Requirement, [*project["dependencies"], *extras]):
        name = canonicalize_name(requirement.name)
        if name != "edgetok":
            assert name in pins, f"{name} is not in constraints.txt"
            assert requirement.specifier.contains(pins[name]), f"{requirement}: pinned to {pins[name]}"


def test_the_environment_is_the_pinned_one(pins):
    """What runs here is what the file says; a local build such as 2.13.0+cpu is the same version."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in pins:
        try:
            found[name] = version(name).split("+")[0]
        except PackageNotFoundError:
            continue
    assert len(found) > 20
    assert {name: pins[name] for name in found} == found


def test_the_commands_are_there_and_ci_runs_the_tests(repository):
    makefile = (repository / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    assert {"demo", "test", "lint", "types", "golden", "docs", "bench", "clean"} <= targets
    run = repository / ".ci" / "run"
    assert os.access(run, os.X_OK)
    assert "make test" in run.read_text(encoding="utf-8")


def test_the_version_is_said_once(project):
    import edgetok

    assert edgetok.__version__ == project["version"]
