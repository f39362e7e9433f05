"""The base of every error edgetok shows to a person: what happened, why, and what to do."""

from __future__ import annotations

from typing import ClassVar


class EdgetokError(Exception):
    """An error meant for people.

    Args:
        what: what failed, in one sentence.
        why: the cause, with the values that show it.
        hint: what the user can do next.

    Every concrete subclass has a unique ``code`` (``ETnnn``); every family has an ``exit_status``.
    """

    code: ClassVar[str] = "ET000"
    exit_status: ClassVar[int] = 1

    def __init__(self, what: str, *, why: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.hint = hint

    def __str__(self) -> str:
        lines = [f"{self.code}: {self.what}"]
        if self.why:
            lines.append(f"  why:  {self.why}")
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, str | int]:
        """The error as plain data, for ``--json``."""
        return {
            "code": self.code,
            "what": self.what,
            "why": self.why,
            "hint": self.hint,
            "exit_status": self.exit_status,
        }


class UsageError(EdgetokError):
    """The command line, recipe or call is not understood (exit status 2)."""

    exit_status = 2


class FindError(EdgetokError):
    """Something named could not be found or loaded (exit status 3)."""

    exit_status = 3


class PlanError(EdgetokError):
    """The plan cannot be made (exit status 4)."""

    exit_status = 4


class RewriteError(EdgetokError):
    """The program could not be rewritten (exit status 5)."""

    exit_status = 5


class ExportError(EdgetokError):
    """The program could not be lowered, exported or written (exit status 6)."""

    exit_status = 6


class VerifyError(EdgetokError):
    """The exported program does not compute what it should (exit status 7)."""

    exit_status = 7


class InterruptionError(EdgetokError):
    """The user stopped it before it had finished (exit status 130)."""

    exit_status = 130
