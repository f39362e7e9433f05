import json
import signal
import subprocess
import sys

import pytest

from edgetok.cli import plugins as plugins_command
from edgetok.cli.main import main
from edgetok.errors import FindError, Interrupted, PlanError

HEAVY = ["torch", "numpy", "onnx", "onnxruntime", "onnxscript", "transformers", "safetensors", "psutil"]
COMMANDS = [[], ["optimize"], ["inspect"], ["verify"], ["bench"], ["plugins"], ["plugins", "list"], ["plugins", "info"]]
COMMANDS += [["targets"], ["targets", "list"], ["targets", "info"], ["doctor"], ["schema"]]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_golden_help_texts(edgetok, golden, command):
    done = edgetok(*command, "--help")
    assert done.returncode == 0, done.stderr
    golden(f"cli/help{''.join(f'-{word}' for word in command)}.txt", done.stdout)


@pytest.mark.parametrize("arguments", [["--help"], ["plugins", "list"], ["targets", "list"], ["optimize", "--help"]])
def test_quick_commands_import_nothing_heavy(arguments):
    code = f"""
import sys
from edgetok.cli.main import main
status = main({arguments!r})
heavy = set({HEAVY!r}) & set(sys.modules)
sys.exit(f"imported {{heavy}}" if heavy else status)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_version(edgetok):
    assert edgetok("--version").stdout.startswith("edgetok 0.")


USAGE = [
    (["optimise", "m"], "ET003", "Did you mean 'optimize'?"),
    (["optimize"], "ET003", "no model is given"),
    (["optimize", "m"], "ET003", "no output is given"),
    (["optimize", "m", "n", "-o", "out"], "ET003", "one model is wanted"),
    (["optimize", "m", "--nope"], "ET003", "--nope"),
    (["optimize", "m", "-o", "out", "--threads", "x"], "ET003", "--threads"),
    (["optimize", "m", "-o", "out", "--plugins", "tome:r=[8"], "ET001", "missing ']'"),
    (["optimize", "m", "-o", "out", "bench.thread=2"], "ET002", "did you mean 'threads'?"),
    (["optimize", "-c", "none.yaml", "-o", "out"], "ET002", "cannot be read"),
    (["schema", "recip"], "ET003", "did you mean 'recipe'?"),
]


@pytest.mark.parametrize(("arguments", "code", "says"), USAGE)
def test_misuse_is_told_on_stderr_and_writes_nothing(edgetok, tmp_path, arguments, code, says):
    done = edgetok(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"{code}: ")
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("arguments", "code", "says"), USAGE)
def test_with_json_the_error_is_json_on_stdout_too(edgetok, arguments, code, says):
    done = edgetok(*arguments, "--json")
    error = json.loads(done.stdout)["error"]
    assert (error["code"], error["exit_status"]) == (code, 2)
    assert done.stderr.startswith(f"{code}: ")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["plugins", "info", "nothing"], "ET101"), (["targets", "info", "nothing"], "ET102")],
)
def test_what_cannot_be_found_exits_3(edgetok, arguments, code):
    done = edgetok(*arguments)
    assert done.returncode == 3
    assert done.stderr.startswith(code)


@pytest.fixture
def failing(monkeypatch):
    """Make ``plugins list`` raise."""

    def arrange(error):
        def fail():
            raise error

        monkeypatch.setattr(plugins_command, "installed", fail)
        monkeypatch.delenv("EDGETOK_DEBUG", raising=False)

    return arrange


@pytest.mark.parametrize("error", [FindError("x"), PlanError("x")])
def test_each_family_has_its_status(failing, capfd, error):
    failing(error)
    assert main(["plugins", "list"]) == error.exit_status
    assert capfd.readouterr().err == "ET000: x\n"


def test_a_bug_is_called_one_and_shows_its_traceback_only_on_demand(failing, capfd, monkeypatch):
    failing(ZeroDivisionError("by zero"))
    assert main(["plugins", "list"]) == 1
    err = capfd.readouterr().err
    assert err.startswith("ET000: this is a bug in edgetok")
    assert "ZeroDivisionError: by zero" in err
    assert "Traceback" not in err
    assert main(["plugins", "list", "--debug"]) == 1
    assert "Traceback" in capfd.readouterr().err
    monkeypatch.setenv("EDGETOK_DEBUG", "1")
    assert main(["plugins", "list", "--json"]) == 1
    captured = capfd.readouterr()
    assert "Traceback" in captured.err
    assert json.loads(captured.out)["error"]["code"] == "ET000"


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_ctrl_c_exits_130(failing, capfd, flags):
    failing(KeyboardInterrupt())
    assert main(["plugins", "list", *flags]) == 130
    captured = capfd.readouterr()
    assert captured.err.startswith(f"{Interrupted.code}: interrupted")
    if flags:
        assert (
            json.loads(captured.out)["error"]
            == Interrupted("interrupted", why="by Ctrl-C", hint="nothing was left half-written").as_dict()
        )


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_reader_that_leaves_is_no_error(flags):
    command = [sys.executable, "-m", "edgetok.cli", "schema", "report", *flags]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    child.stdout.close()
    assert child.stderr.read() == b""
    child.stderr.close()
    assert child.wait(60) != 0


CODE = """
import sys, time
from pathlib import Path
from edgetok.bundle.staging import staged
from edgetok.cli import main as module
from edgetok.cli import plugins

def slow():
    with staged(Path("out")) as stage:
        (stage / "f").write_text("x")
        print("ready", file=sys.stderr, flush=True)
        time.sleep(60)

plugins.installed = slow
sys.argv = ["edgetok", "plugins", "list", "--json"]
module.run()
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_leave_nothing_on_disk(tmp_path, number, status):
    child = subprocess.Popen(
        [sys.executable, "-c", CODE], cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    assert child.stderr.readline() == b"ready\n"
    assert len(list(tmp_path.iterdir())) == 1
    child.send_signal(number)
    assert child.wait(20) == status
    assert b"Traceback" not in child.stderr.read()
    child.stderr.close()
    assert list(tmp_path.iterdir()) == []
