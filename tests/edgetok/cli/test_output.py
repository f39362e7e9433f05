import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, Field

from edgetok.cli.output import console, emit, fields, json_only, plain, show, table


class Inner(BaseModel):
    schema_name: str = Field("s", alias="schema")
    size: tuple[int, int] = (1, 2)


@dataclass(frozen=True)
class Outer:
    path: Path
    inner: Inner
    ratio: float = float("nan")


class Described:
    def as_dict(self):
        return {"a": float("inf")}


def test_everything_becomes_json():
    value = plain([Outer(Path("p"), Inner()), Described(), {1: {2}}])
    assert value == [
        {"path": "p", "inner": {"schema": "s", "size": [1, 2]}, "ratio": None},
        {"a": None},
        {"1": [2]},
    ]
    json.dumps(value, allow_nan=False)


def test_only_what_is_emitted_reaches_stdout(capfd):
    with json_only():
        print("python chatter")
        os.write(1, b"native chatter\n")
        subprocess.run(["echo", "child chatter"], check=True)
        emit({"a": 1})
    captured = capfd.readouterr()
    assert json.loads(captured.out) == {"a": 1}
    for who in ("python", "native", "child"):
        assert f"{who} chatter" in captured.err
    print("after")
    assert capfd.readouterr().out == "after\n"


def test_stdout_comes_back_after_an_error(capfd):
    try:
        with json_only():
            raise ValueError
    except ValueError:
        emit([])
    assert capfd.readouterr().out == "[]\n"


def test_text_is_never_read_as_mark_up(capsys):
    show("[bold]x[/bold] :smile:", table(("[red]head[/red]",), [("[link=x]y[/link]",)]))
    out = capsys.readouterr().out
    assert "[bold]x[/bold] :smile:" in out
    assert "[link=x]y[/link]" in out


def test_fields_are_dotted(capsys):
    show(fields({"a": {"b": 1, "none": None}, "list": [1, 2], "rows": [{"x": 1}, {"x": 2}]}))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [["a.b", "1"], ["list", "1,", "2"], ["rows.0.x", "1"], ["rows.1.x", "2"]]
    assert console().file is not None
