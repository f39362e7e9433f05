import ast

import pytest


@pytest.fixture(scope="module")
def commands(repository):
    return sorted((repository / "edgetok" / "cli").glob("*.py"))


def test_commands_stay_thin(commands):
    assert len(commands) > 10
    for path in commands:
        assert len(path.read_text().splitlines()) <= 130, path.name


def test_the_session_is_imported_inside_functions_only(commands):
    for path in commands:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom):
                names = {alias.name for alias in node.names}
                assert not (node.module == "edgetok" and "session" in names), path.name
                assert not (node.module or "").startswith("edgetok.session"), path.name
