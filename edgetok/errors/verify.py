"""Errors of the verify family."""

from __future__ import annotations

from edgetok.errors.base import VerifyError


class ParityFailed(VerifyError):
    """The exported program computes something else than its reference."""

    code = "ET501"


class DecisionsDiffer(VerifyError):
    """The runtime decides differently where no near-tie explains it."""

    code = "ET502"


class BenchRefused(VerifyError):
    """The machine is too busy, or the run too unstable, to measure."""

    code = "ET503"
