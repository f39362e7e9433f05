"""Token Merging keeps every promise of a reduction."""

from __future__ import annotations

from edgetok.registry import installed
from edgetok.testing import PluginConformance, digits, zoo

ToMe = installed().plugins["tome"].value


class TestToMe(PluginConformance):
    plugin = ToMe(r=2)
    zero = ToMe(r=0)
    accepts = (*zoo.ACCEPTED, digits.case(ToMe(r=24), at_most=1.0))
    refuses = zoo.REFUSED
