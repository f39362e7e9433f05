import io

import pytest
from rich.console import Console

from edgetok.progress import Bars, Lines, Silent, for_stderr


def run(progress):
    with progress.stage("export", total=2):
        progress.advance()
        with progress.stage("inner"):
            progress.log("hello [bold]")
        progress.advance()


def test_lines_tell_each_finished_stage_with_its_seconds():
    out = io.StringIO()
    run(Lines(Console(file=out, width=200)))
    lines = out.getvalue().splitlines()
    assert lines[0] == "hello [bold]"
    assert lines[1].startswith("  inner: ")
    assert lines[2].startswith("export (2): ")
    assert lines[2].endswith(" s")


def test_bars_leave_the_same_lines_on_a_terminal():
    out = io.StringIO()
    run(Bars(Console(file=out, width=200, force_terminal=True)))
    assert "export (2): " in out.getvalue()


@pytest.mark.parametrize("make", [Lines, Bars])
def test_a_failing_stage_is_not_told_as_done(make):
    out = io.StringIO()
    progress = make(Console(file=out, width=200, force_terminal=make is Bars))
    with pytest.raises(RuntimeError), progress.stage("export"):
        raise RuntimeError
    assert " s\n" not in out.getvalue()
    run(progress)
    assert "export (2): " in out.getvalue()


def test_stderr_only(capsys):
    run(for_stderr())
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "export (2)" in captured.err


def test_quiet_says_nothing(capsys):
    assert isinstance(for_stderr(quiet=True), Silent)
    run(for_stderr(quiet=True))
    assert capsys.readouterr() == ("", "")
