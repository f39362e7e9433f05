"""Errors of the export family."""

from __future__ import annotations

from edgetok.errors.base import ExportError


class ExportFailed(ExportError):
    """The toolchain could not export the program."""

    code = "ET401"


class OutputExists(ExportError):
    """The output exists and --force was not given."""

    code = "ET402"


class OutputNotWritable(ExportError):
    """The output cannot be written."""

    code = "ET403"


class DiskFull(ExportError):
    """There is not enough space for the output."""

    code = "ET404"


class RuntimeFailed(ExportError):
    """The exported file does not load or run in its runtime."""

    code = "ET405"
