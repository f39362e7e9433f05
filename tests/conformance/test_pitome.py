"""PiToMe keeps every promise of a reduction."""

from __future__ import annotations

from edgetok.registry import installed
from edgetok.testing import PluginConformance, digits, zoo

PiToMe = installed().plugins["pitome"].value


class TestPiToMe(PluginConformance):
    plugin = PiToMe(r=2)
    zero = PiToMe(r=0)
    accepts = (*zoo.accepted("vit", "bert-padded"), digits.case(PiToMe(r=28), at_most=3e-5, every=5, task_only=True))
    refuses = zoo.REFUSED
