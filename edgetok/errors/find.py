"""Errors of the find family."""

from __future__ import annotations

from edgetok.errors.base import FindError


class UnknownPlugin(FindError):
    """No plugin of that name is installed."""

    code = "ET101"


class UnknownTarget(FindError):
    """No target of that name is installed."""

    code = "ET102"


class ModelNotFound(FindError):
    """The model reference leads nowhere."""

    code = "ET103"


class BrokenWeights(FindError):
    """A weight file is truncated, malformed or does not fit its model."""

    code = "ET104"


class UnsafeModel(FindError):
    """The model carries pickled code and is refused."""

    code = "ET105"


class MissingExtra(FindError):
    """A package that this action needs is not installed."""

    code = "ET106"


class NetworkRefused(FindError):
    """The model lives on a hub and network access was not asked for."""

    code = "ET107"


class UnknownExporter(FindError):
    """No exporter of that name is installed."""

    code = "ET108"


class BrokenPlugin(FindError):
    """A plugin failed to load, or breaks the plugin contract."""

    code = "ET109"


class DuplicateName(FindError):
    """Two distributions register the same name."""

    code = "ET110"


class ApiVersion(FindError):
    """A plugin was written for another API version."""

    code = "ET111"


class BadTarget(FindError):
    """A target file does not describe a target."""

    code = "ET112"


class DatasetNotFound(FindError):
    """Evaluation data is missing or malformed."""

    code = "ET113"


class BundleNotFound(FindError):
    """The path is not an edgetok bundle, or the bundle is damaged."""

    code = "ET114"


class UnsupportedModel(FindError):
    """The model is of a kind that no source can load."""

    code = "ET115"
