from dataclasses import replace

import pytest

from edgetok.doctor import health, packages, try_imports
from edgetok.registry import Found, installed
from edgetok.target import Target


def test_packages_come_with_their_version_and_extra():
    found = {package.name: package for package in packages()}
    assert (found["pluggy"].extra, bool(found["pluggy"].version)) == ("", True)
    assert found["coremltools"].extra == "coreml"
    assert "edgetok" not in found


@pytest.mark.parametrize(
    ("fields", "exports", "runs", "why", "fix"),
    [
        ({"verified_by": "run here"}, True, True, "", ""),
        ({}, True, False, "its runtime does not exist for this machine", ""),
        ({"requires": ("no_such_module",)}, False, False, "not installed: no_such_module", "pip install 'edgetok[x]'"),
        ({"exporter": "other"}, False, False, "exporter 'other' is not installed, or broken", ""),
        (
            {"requires": ("crashing",)},
            False,
            False,
            "RuntimeError: no such instruction",
            "pip install 'edgetok[x]' --force-reinstall",
        ),
    ],
)
def test_health(site, monkeypatch, fields, exports, runs, why, fix):
    (site / "crashing.py").write_text("raise RuntimeError('no such instruction')")
    monkeypatch.setenv("PYTHONPATH", str(site))
    registry = replace(installed(), exporters={"e": Found("e", object, "acme 1")})
    target = Target(**{"name": "t", "summary": "s", "exporter": "e", "runtime": "r", "extra": "x", **fields})
    found = health(registry, target)
    assert (found.exports, found.runs, found.why_not, found.fix) == (exports, runs, why, fix)


def test_an_import_that_kills_its_process_kills_only_that(site, monkeypatch):
    (site / "deadly.py").write_text("import os; os.abort()")
    monkeypatch.setenv("PYTHONPATH", str(site))
    assert "deadly" in try_imports(["deadly"]) or "Fatal" in try_imports(["deadly"])
    assert try_imports(["json"]) == ""
