"""Local merging keeps every promise of a reduction."""

from __future__ import annotations

from edgetok.registry import installed
from edgetok.testing import PluginConformance, digits, zoo

LocalMerge = installed().plugins["local-merge"].value


class TestLocalMerge(PluginConformance):
    plugin = LocalMerge(r=6, tile=8)
    zero = LocalMerge(r=0)
    accepts = (
        *zoo.accepted("vit-tokens", "dinov3", "bert-padded"),
        digits.case(LocalMerge(r=28, tile=64), at_most=8e-5, every=5, task_only=True),
    )
    refuses = zoo.REFUSED
