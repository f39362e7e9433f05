"""Every trap names a test that exists and always runs."""

from __future__ import annotations

import ast
import re


def test_every_test_that_is_named_runs(repository):
    rows = [line for line in (repository / "docs" / "traps.md").read_text().splitlines() if line.startswith("| ")][2:]
    named = [re.search(r"`([\w/]+\.py)::(test_\w+)` \|$", row) for row in rows]
    assert len(rows) >= 20
    assert all(named), "a trap without a test"
    for found in filter(None, named):
        tree = ast.parse((repository / "tests" / found[1]).read_text())
        functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert found[2] in functions, f"{found[1]} has no {found[2]}"
        assert not any("exhaustive" in ast.unparse(mark) for mark in functions[found[2]].decorator_list), found[2]
