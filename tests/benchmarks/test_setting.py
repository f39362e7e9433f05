"""What every result begins with, and that a busy machine is refused."""

from __future__ import annotations

import datetime
import json
import os
from importlib.metadata import version

import pytest

from edgetok.errors import BenchRefused


@pytest.fixture
def setting(benchmark):
    return benchmark("_setting")


def test_a_result_says_what_when_and_where_before_what_was_found(setting, tmp_path):
    path = tmp_path / "new" / "result.json"
    setting.write_result(path, "How fast?\n\nVery.", {"rows": [1.5]}, "pydantic")
    found = json.loads(path.read_text(encoding="utf-8"))
    assert list(found) == ["what", "created", "machine", "versions", "commit", "rows"]
    assert (found["what"], found["rows"]) == ("How fast?", [1.5])
    assert datetime.datetime.fromisoformat(found["created"]).utcoffset() == datetime.timedelta(0)
    assert found["versions"] == {**setting.versions(), "pydantic": version("pydantic")}
    assert str(os.cpu_count()) in found["machine"]


def test_a_busy_machine_ends_the_run_unless_that_is_allowed(setting, monkeypatch, capsys):
    monkeypatch.setattr(os, "getloadavg", lambda: (7.0, 7.0, 7.0))
    assert setting.load_or_exit(True) == 7.0
    with pytest.raises(SystemExit) as ended:
        setting.load_or_exit(False)
    assert ended.value.code == BenchRefused.exit_status
    assert "--allow-load" in capsys.readouterr().err
    monkeypatch.setattr(os, "getloadavg", lambda: (0.1, 7.0, 7.0))
    assert setting.load_or_exit(False) == 0.1
