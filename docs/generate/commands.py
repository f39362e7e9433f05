"""The help texts of the command line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache

WIDTH = "100"
PLAIN = {
    "COLUMNS": WIDTH,
    "TERMINAL_WIDTH": WIDTH,
    "NO_COLOR": "1",
    "TERM": "dumb",
    "_TYPER_FORCE_DISABLE_TERMINAL": "1",
}


@cache
def help_text(*command: str) -> str:
    """What ``edgetok COMMAND --help`` prints."""
    line = [sys.executable, "-c", "from edgetok.cli.main import run; run()", *command, "--help"]
    done = subprocess.run(line, capture_output=True, text=True, check=True, env={**os.environ, **PLAIN})
    if not done.stdout.strip():
        raise RuntimeError(f"edgetok {' '.join(command)} --help printed nothing: {done.stderr}")
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


def subcommands(text: str) -> list[str]:
    """The names in the box of commands of a help text."""
    _, _, box = text.partition("Commands")
    return re.findall(r"^│ ([a-z][\w-]*)", box, re.MULTILINE)


def reference() -> str:
    """The help of every command, in the order in which ``edgetok --help`` lists them."""
    parts = [f"```text\n{help_text()}\n```\n"]
    for name in subcommands(help_text()):
        parts.append(f"## edgetok {name}\n\n```text\n{help_text(name)}\n```\n")
        for inner in subcommands(help_text(name)):
            parts.append(f"### edgetok {name} {inner}\n\n```text\n{help_text(name, inner)}\n```\n")
    return "\n".join(parts)


def blocks() -> dict[str, Callable[[], str]]:
    """The block ``commands``."""
    return {"commands": reference}
