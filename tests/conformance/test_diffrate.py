"""DiffRate keeps every promise of a reduction."""

from __future__ import annotations

from edgetok.registry import installed
from edgetok.testing import PluginConformance, digits, zoo

DiffRate = installed().plugins["diffrate"].value


class TestDiffRate(PluginConformance):
    plugin = DiffRate(prune=1, merge=2)
    zero = DiffRate(prune=0, merge=0)
    accepts = (
        *zoo.accepted("vit", "bert-padded"),
        digits.case(DiffRate(prune=7, merge=21), at_most=8e-5, every=5, task_only=True),
    )
    refuses = zoo.REFUSED
