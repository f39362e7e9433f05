"""``edgetok``: the commands together, and how everything that goes wrong is told."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from contextlib import nullcontext
from typing import Annotated, Any, NoReturn

import typer

import edgetok
from edgetok.cli.bench import bench
from edgetok.cli.doctor import doctor
from edgetok.cli.inspect import inspect
from edgetok.cli.optimize import optimize
from edgetok.cli.output import json_only, tell
from edgetok.cli.plugins import plugins
from edgetok.cli.schema import schema
from edgetok.cli.targets import targets
from edgetok.cli.tune import tune
from edgetok.cli.verify import verify
from edgetok.errors import BadCommand, EdgetokError, Interrupted

_CLICK_ERROR: Any = typer.BadParameter.mro()[2]  # ClickException, wherever this typer keeps its click

app = typer.Typer(
    name="edgetok",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (optimize, tune, inspect, verify, bench, doctor, schema):
    app.command()(command)
app.add_typer(plugins, name="plugins")
app.add_typer(targets, name="targets")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"edgetok {edgetok.__version__}")
        raise typer.Exit


@app.callback()
def edgetok_(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error. Also: EDGETOK_DEBUG=1.")
    ] = False,
) -> None:
    """Make a PyTorch model fit the device it will run on, and prove that it still computes what it should."""


def main(arguments: list[str]) -> int:
    """Run one command line; its exit status: 0, 2 usage, 3 find, 4 plan, 5 rewrite, 6 export, 7 verify, 130 Ctrl-C."""
    debug = "--debug" in arguments or os.environ.get("EDGETOK_DEBUG", "") not in {"", "0"}
    as_json = "--json" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    pure = as_json and not {"-h", "--help", "--version"} & set(arguments)
    try:
        with json_only() if pure else nullcontext():
            return _run(arguments, as_json=as_json, debug=debug)
    except BrokenPipeError:
        return _closed_pipe()


def _run(arguments: list[str], *, as_json: bool, debug: bool) -> int:
    try:
        status = int(app(args=arguments, prog_name="edgetok", standalone_mode=False) or 0)
        if status == Interrupted.exit_status:  # some typers swallow Ctrl-C and return this
            raise KeyboardInterrupt
        return status
    except (BrokenPipeError, SystemExit):
        raise
    except BaseException as error:
        if debug:
            traceback.print_exception(error)
        told = _explain(error, debug=debug)
        tell(told, as_json=as_json)
        return told.exit_status


def _explain(error: BaseException, *, debug: bool) -> EdgetokError:
    if isinstance(error, EdgetokError):
        return error
    if isinstance(error, _CLICK_ERROR):
        command = getattr(getattr(error, "ctx", None), "command_path", "edgetok")
        return BadCommand(error.format_message(), hint=f"{command} --help")
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return Interrupted("interrupted", why="by Ctrl-C", hint="nothing was left half-written")
    text = " ".join(str(error).split())
    return EdgetokError(
        "this is a bug in edgetok, or in something it uses",
        why=f"{type(error).__name__}: {text[:500]}",
        hint="report it with the traceback above" if debug else "run again with --debug and report the traceback",
    )


def _closed_pipe() -> int:
    """The reader of stdout is gone (``edgetok ... | head``): nothing to say, and nowhere to say it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 128 + signal.SIGPIPE


def _terminated(number: int, frame: object) -> NoReturn:
    """Let a polite kill unwind, so that nothing half-written stays."""
    raise SystemExit(128 + number)


def run() -> NoReturn:
    """The console script."""
    signal.signal(signal.SIGTERM, _terminated)
    sys.exit(main(sys.argv[1:]))
