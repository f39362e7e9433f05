"""The project's own Python files, parsed once. A test is about all of them and names those that are wrong."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = ("edgetok", "plugins", "exporters", "targets", "samples", "benchmarks", "docs", "mobile_demo")
FOREIGN = {"__pycache__", "build", "node_modules"}
IMPORT_ROOTS = ("plugins", "exporters", "targets")


@dataclass(frozen=True)
class Source:
    """One Python file."""

    path: Path

    @property
    def name(self) -> str:
        """Its path in the repository, with forward slashes."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def module(self) -> str:
        """The name it is imported by: ``edgetok_plugins.tome`` for ``plugins/edgetok_plugins/tome/__init__.py``."""
        parts = list(self.path.relative_to(ROOT).with_suffix("").parts)
        if parts[0] in IMPORT_ROOTS:
            parts = parts[1:]
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @cached_property
    def text(self) -> str:
        """The file as text."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        """The file parsed."""
        return ast.parse(self.text, self.name)

    @property
    def lines(self) -> int:
        """How many lines it has."""
        return len(self.text.splitlines())

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Every function and method, nested ones too."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node


def python_files(*folders: str) -> list[Source]:
    """All Python files in these top-level folders."""
    paths = (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))
    return [Source(path) for path in paths if not FOREIGN & set(path.parts)]


SOURCES = python_files(*CODE)
TESTS = python_files("tests")


EXTENSIONS = ("edgetok_plugins", "edgetok_exporters", "edgetok_targets")


@pytest.fixture(scope="session")
def sources() -> list[Source]:
    """All project code."""
    return SOURCES


@pytest.fixture(scope="session")
def all_files() -> list[Source]:
    """All project code, and the tests."""
    return SOURCES + TESTS


@pytest.fixture(scope="session")
def core() -> list[Source]:
    """The package ``edgetok``."""
    return [file for file in SOURCES if file.module.startswith("edgetok.")]


@pytest.fixture(scope="session")
def extensions() -> list[Source]:
    """Plugins, exporters and targets."""
    return [file for file in SOURCES if file.module.startswith(EXTENSIONS)]


@pytest.fixture(scope="session")
def modules_of_tests() -> list[Source]:
    """The files whose names pytest looks for."""
    return [file for file in TESTS if file.path.name.startswith("test_")]
