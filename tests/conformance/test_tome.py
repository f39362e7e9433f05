"""Token Merging keeps every promise of a reduction."""

from __future__ import annotations

import pytest

from edgetok.registry import installed
from edgetok.testing import PluginConformance, digits, zoo

ToMe = installed().plugins["tome"].value


class TestToMe(PluginConformance):
    plugin = ToMe(r=2)
    zero = ToMe(r=0)
    accepts = (*zoo.ACCEPTED, digits.case(ToMe(r=28), at_most=0.0002, every=2, task_only=True))
    refuses = zoo.REFUSED


@pytest.mark.exhaustive
class TestEverywhere(TestToMe):
    accepts = (*zoo.accepted("vit"), digits.case(ToMe(r=28), at_most=0.0002))
    everywhere = True
