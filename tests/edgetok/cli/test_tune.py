"""``edgetok tune`` on the command line: what it refuses before any work, and where its help stands."""

from __future__ import annotations

import json

import pytest

from edgetok.cli.main import main


@pytest.mark.parametrize(
    ("goal", "said"),
    [([], "one goal"), (["--latency", "0.6x", "--tokens", "40%"], "one goal"), (["--tokens", "x"], "no number")],
)
def test_a_goal_is_wanted(goal, said, capfd, tmp_path):
    status = main(["tune", "nothing", "-p", "tome", "-o", str(tmp_path / "out"), "--json", *goal])
    assert status == 2
    assert said in json.loads(capfd.readouterr().out)["error"]["what"]
    assert not list(tmp_path.iterdir())
