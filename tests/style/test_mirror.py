"""Tests mirror the tree: ``tests/edgetok/ops/test_match.py`` tests ``edgetok/ops/match.py``."""

from __future__ import annotations

from pathlib import Path

HOMES = {
    "edgetok": "edgetok",
    "plugins": "plugins/edgetok_plugins",
    "exporters": "exporters/edgetok_exporters",
    "targets": "targets/edgetok_targets",
    "samples": "samples",
    "benchmarks": "benchmarks",
    "docs": "docs",
    "mobile_demo": "mobile_demo",
}
WHOLE = {"conformance", "golden", "integration", "style"}


def subjects(root: Path, test: Path) -> list[Path]:
    """The files or folders that ``test`` (relative to ``tests/``) may be about.

    ``ops/test_match.py`` is about ``ops/match.py`` or the folder ``ops/match``; ``test_match_ties.py`` too. A test
    named after its own folder, ``ops/test_ops.py``, is about the folder.
    """
    folder = root / HOMES[test.parts[0]] / Path(*test.parts[1:-1])
    words = test.stem.removeprefix("test_").split("_")
    stems = ["_".join(words[:count]) for count in range(len(words), 0, -1)]
    found = [entry for entry in folder.glob("*") if entry.stem.removeprefix("_").replace("-", "_") in stems]
    if folder.is_dir() and folder.name in stems:
        found.append(folder)
    return found


def test_each_test_file_has_a_subject(modules_of_tests, repository):
    tests = [Path(file.name).relative_to("tests") for file in modules_of_tests]
    assert {test.parts[0] for test in tests} <= {*WHOLE, *HOMES}, "a folder of tests mirrors nothing"
    idle = [test for test in tests if test.parts[0] in HOMES and not subjects(repository, test)]
    assert not idle, f"these test nothing that exists: {', '.join(map(str, idle))}"


def test_subjects_are_found_and_missed(tmp_path):
    (tmp_path / "edgetok" / "ops").mkdir(parents=True)
    (tmp_path / "edgetok" / "ops" / "match.py").touch()
    assert subjects(tmp_path, Path("edgetok/ops/test_match.py"))
    assert subjects(tmp_path, Path("edgetok/ops/test_match_ties.py"))
    assert not subjects(tmp_path, Path("edgetok/ops/test_gone.py"))
