"""Errors of the plan family."""

from __future__ import annotations

from edgetok.errors.base import PlanError


class NothingToRewrite(PlanError):
    """A plugin that was asked for found no place to act."""

    code = "ET201"


class TagConflict(PlanError):
    """Two plugins exclude each other."""

    code = "ET202"


class OrderCycle(PlanError):
    """The order that the plugins ask for is circular."""

    code = "ET203"


class UnknownTag(PlanError):
    """A plugin uses a tag that is not in the vocabulary."""

    code = "ET204"


class BadSchedule(PlanError):
    """A schedule does not fit the model."""

    code = "ET205"


class TargetRefuses(PlanError):
    """The target cannot run what the plan needs."""

    code = "ET206"


class DigestMismatch(PlanError):
    """A replayed recipe does not give the plan it recorded."""

    code = "ET207"
