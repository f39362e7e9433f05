"""A file that was just made, loaded and run once in a process of its own: a missing kernel is found here.

What the runtime does not have shows only when a method is loaded, and it says so on stderr alone; a delegate may crash.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgetok.errors import ExportFailed

if TYPE_CHECKING:
    from executorch.exir import ExecutorchProgramManager

TIMEOUT = 600


def try_file(entry: Path, target: str) -> None:
    """Load and run a file in a fresh process on zeros.

    Raises:
        ExportFailed: naming the operator without a kernel, the signal that killed it, or what was said last.
    """
    command = [sys.executable, "-m", __name__, str(entry)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired as error:
        raise ExportFailed(f"The file for {target} does not finish a run.", why=f"{TIMEOUT} s") from error
    if done.returncode:
        entry.unlink(missing_ok=True)
        raise ExportFailed(f"The file for {target} does not load and run.", why=_cause(done), hint=_hint(done.stderr))


def check_kernels(made: ExecutorchProgramManager, target: str) -> None:
    """Look every operator outside the delegate up in the runtime, where a file itself cannot be loaded.

    Raises:
        ExportFailed: naming those without a kernel.
    """
    from executorch.extension.pybindings.portable_lib import _get_operator_names

    known = {name.removesuffix(".default") for name in _get_operator_names()}
    plans = made.executorch_program.execution_plan
    used = {f"{op.name}.{op.overload}".rstrip(".") for plan in plans for op in plan.operators}
    if missing := sorted(used - known):
        said = "".join(f"Missing operator: {name}\n" for name in missing)
        why = f"the runtime has no kernel for {', '.join(missing)}"
        raise ExportFailed(f"The file for {target} does not load and run.", why=why, hint=_hint(said))


def missing_operators(said: str) -> list[str]:
    """The operators that the runtime's log names as missing."""
    return sorted(set(re.findall(r"[Mm]issing operator:\s*(?:\[\d+\]\s*)?([\w:.]+)", said)))


def _cause(done: subprocess.CompletedProcess[str]) -> str:
    if missing := missing_operators(done.stderr):
        return f"the runtime has no kernel for {', '.join(missing)}"
    if done.returncode < 0:
        return f"the runtime crashed ({signal.Signals(-done.returncode).name})"
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"exit status {done.returncode}"


def _hint(said: str) -> str:
    if missing_operators(said):
        return "Choose a realisation without it in the target (match = 'sort-free', reduce = 'one-hot')."
    return "Please report this with the model's architecture."


def main() -> None:
    """Open the file named on the command line and run it on zeros."""
    from edgetok_exporters.executorch.runner import ExecutorchRunner

    runner = ExecutorchRunner(Path(sys.argv[1]), threads=1)
    runner(runner.zeros())


if __name__ == "__main__":
    main()
