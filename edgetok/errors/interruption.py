"""Errors of the interruption family."""

from __future__ import annotations

from edgetok.errors.base import InterruptionError


class Interrupted(InterruptionError):
    """Ctrl-C; what was half-written is gone again."""

    code = "ET601"
