"""Errors of the rewrite family."""

from __future__ import annotations

from edgetok.errors.base import RewriteError


class CaptureFailed(RewriteError):
    """torch.export cannot capture the model."""

    code = "ET301"


class NoLabelRule(RewriteError):
    """An operation without a label rule touches a token axis that must change."""

    code = "ET302"


class RepairFailed(RewriteError):
    """The rewritten program could not be traced."""

    code = "ET303"


class InvalidProgram(RewriteError):
    """The rewritten program fails validation."""

    code = "ET304"


class PluginFailed(RewriteError):
    """A plugin raised while rewriting."""

    code = "ET305"
