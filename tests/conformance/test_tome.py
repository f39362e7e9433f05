"""Token Merging keeps every promise of a reduction."""

from __future__ import annotations

from edgetok.registry import installed
from edgetok.testing import PluginConformance, digits, zoo

ToMe = installed().plugins["tome"].value


class TestToMe(PluginConformance):
    plugin = ToMe(r=2)
    zero = ToMe(r=0)
    accepts = (*zoo.ACCEPTED, digits.case(ToMe(r=28), at_most=0.0002))
    refuses = zoo.REFUSED
    everywhere = True
