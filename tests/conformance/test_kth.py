"""Keeping every k-th token keeps every promise of a reduction."""

from __future__ import annotations

from edgetok.registry import installed
from edgetok.testing import PluginConformance, digits, zoo

Kth = installed().plugins["kth"].value


class TestKth(PluginConformance):
    plugin = Kth(k=2, layers=(0,), tile=12)
    zero = Kth(k=1)
    accepts = (
        *zoo.accepted("vit", "bert-padded"),
        digits.case(Kth(k=3, layers=(2, 4)), at_most=2.85e-4, every=5, task_only=True),
    )
    refuses = zoo.REFUSED
