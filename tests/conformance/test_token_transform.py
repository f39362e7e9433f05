"""Token Transforming keeps every promise of a reduction."""

from __future__ import annotations

from edgetok.registry import installed
from edgetok.testing import PluginConformance, digits, zoo

TokenTransform = installed().plugins["token-transform"].value


class TestTokenTransform(PluginConformance):
    plugin = TokenTransform(r=2)
    zero = TokenTransform(r=0)
    accepts = (
        *zoo.accepted("vit", "bert-padded"),
        digits.case(TokenTransform(r=28), at_most=1.1e-4, every=5, task_only=True),
    )
    refuses = zoo.REFUSED
