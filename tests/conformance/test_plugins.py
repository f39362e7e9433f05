"""Every built-in plugin is held against the kit, in a file of its own here."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from edgetok.registry import installed

BUILT_IN = [name for name, found in installed().plugins.items() if found.distribution.split()[0] == "edgetok"]


def kits(path: Path) -> list[ast.ClassDef]:
    """The classes of a test file that run the plugin kit."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name.startswith("Test")]
    return [node for node in classes if any(ast.unparse(base).endswith("Conformance") for base in node.bases)]


@pytest.mark.parametrize("name", BUILT_IN)
def test_each_built_in_plugin_has_a_kit(name):
    path = Path(__file__).with_name(f"test_{name.replace('-', '_')}.py")
    assert path.exists(), f"no {path.name}"
    assert kits(path), f"{path.name} has no subclass of a kit"
    assert f'plugins["{name}"]' in path.read_text(encoding="utf-8"), f"{path.name} is about another plugin"


def test_nothing_installed_is_broken():
    assert [broken.error for broken in installed().broken if broken.distribution.startswith("edgetok ")] == []
