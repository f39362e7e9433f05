"""Names say what a thing is; files name no machine."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

VAGUE = {"utils", "util", "helpers", "helper", "misc", "common", "tools"}
PLACES = re.compile(r"(?<![\w.$])/(?:work|home|Users|root|opt|mnt)/[\w.-]+")
TEXT_SUFFIXES = {".py", ".md", ".toml", ".yaml", ".yml", ".json", ".txt", ".mjs", ".js", ".html", ".css", ".tsv", ""}


def tracked(root: Path) -> list[Path]:
    """Every file that is, or would be, in the repository."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=root, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout, so the repository's files are not known")
    paths = (root / name.decode() for name in done.stdout.split(b"\0") if name)
    return [path for path in paths if path.suffix in TEXT_SUFFIXES and path.is_file()]


def test_no_module_has_a_vague_name(all_files):
    assert [file.name for file in all_files if VAGUE & set(Path(file.name).with_suffix("").parts)] == []


def test_no_file_names_a_place_on_a_machine(repository):
    found = [
        f"{path.relative_to(repository)}:{number}: {match.group()}"
        for path in tracked(repository)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (match := PLACES.search(line))
    ]
    assert not found, "\n".join(found)


def test_places_are_recognised():
    assert PLACES.search("cd /" + "home/someone")
    assert not PLACES.search("https://example.org/home/page or ./work/x")


def test_functions_are_lower_case(sources):
    names = [(file.name, function.name) for file in sources for function in file.functions()]
    assert names
    assert [(file, name) for file, name in names if name != name.lower() and not name.startswith("visit_")] == []


def test_public_things_have_docstrings(sources):
    public = [(file.name, node) for file in sources for node in (file.tree, *walk_public(file.tree))]
    assert public
    bare = [(file, getattr(node, "name", "module")) for file, node in public if ast.get_docstring(node) is None]
    assert bare == []


def walk_public(node: ast.AST) -> list[ast.FunctionDef | ast.ClassDef]:
    """Public functions and classes at module or class level; property setters and overloads excepted."""
    found: list[ast.FunctionDef | ast.ClassDef] = []
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.ClassDef) or child.name.startswith("_"):
            continue
        if {"overload", "setter"} & {ast.unparse(d).rsplit(".", 1)[-1] for d in child.decorator_list}:
            continue
        found.append(child)
        if isinstance(child, ast.ClassDef):
            found += walk_public(child)
    return found
