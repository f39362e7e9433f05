"""Expedit keeps every promise of a reduction."""

from __future__ import annotations

from edgetok.registry import installed
from edgetok.testing import PluginConformance, digits, zoo
from edgetok.testing.cases import RefusalCase

Expedit = installed().plugins["expedit"].value


class TestExpedit(PluginConformance):
    plugin = Expedit(layer=0, side=0.6)
    zero = Expedit(side=1.0)
    accepts = (
        *zoo.accepted("vit", "siglip"),
        digits.case(Expedit(layer=2, side=0.5, prop_attn=True, temperature=0.3), at_most=8e-5, every=5, task_only=True),
    )
    refuses = (*zoo.REFUSED, RefusalCase("text", zoo.transformer_encoder, "grid of patches"))
