"""Token Fusion keeps every promise of a reduction."""

from __future__ import annotations

from edgetok.registry import installed
from edgetok.testing import PluginConformance, digits, zoo

ToFu = installed().plugins["tofu"].value


class TestToFu(PluginConformance):
    plugin = ToFu(r=2)
    zero = ToFu(r=0)
    accepts = (
        *zoo.accepted("vit", "bert-padded"),
        digits.case(ToFu(r=28, switch=0.0), at_most=6e-5, every=5, task_only=True),
    )
    refuses = zoo.REFUSED
