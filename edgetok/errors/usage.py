"""Errors of the usage family."""

from __future__ import annotations

from edgetok.errors.base import UsageError


class BadOption(UsageError):
    """A plugin option is unknown or has the wrong type."""

    code = "ET001"


class BadRecipe(UsageError):
    """A recipe file or an override cannot be read as a recipe."""

    code = "ET002"


class BadCommand(UsageError):
    """The combination of arguments makes no sense."""

    code = "ET003"


class BadInputs(UsageError):
    """Example inputs do not fit the model."""

    code = "ET004"
