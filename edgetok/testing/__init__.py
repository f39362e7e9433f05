"""Conformance kits, installed with the package: what every plugin, exporter and target must do, as pytest classes.

``PluginConformance`` is for token reductions, ``PrecisionConformance`` for quantisation, ``WeightConformance`` for what
rewrites weights; ``zoo`` has small models of every family, ``digits`` a trained one with its task.
"""

from edgetok.testing import digits, zoo
from edgetok.testing.cases import Case, RefusalCase, Task
from edgetok.testing.exporter import ExporterConformance
from edgetok.testing.plugin import PluginConformance
from edgetok.testing.precision import PrecisionConformance
from edgetok.testing.target import TargetConformance
from edgetok.testing.weights import WeightConformance

__all__ = [
    "Case",
    "ExporterConformance",
    "PluginConformance",
    "PrecisionConformance",
    "RefusalCase",
    "TargetConformance",
    "Task",
    "WeightConformance",
    "digits",
    "zoo",
]
