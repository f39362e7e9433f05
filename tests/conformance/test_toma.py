"""ToMA keeps every promise of a reduction."""

from __future__ import annotations

from edgetok.registry import installed
from edgetok.testing import PluginConformance, digits, zoo
from edgetok.testing.cases import Case, RefusalCase

ToMA = installed().plugins["toma"].value


class TestToMA(PluginConformance):
    plugin = ToMA(tile=4, rounds=2, min_tokens=17)
    zero = ToMA(ratio=0.0, min_tokens=17)
    accepts = (
        Case("unet", zoo.unet),
        digits.case(ToMA(min_tokens=1, rounds=2), at_most=4.5e-3, every=5, task_only=True),
    )
    refuses = (*zoo.REFUSED, RefusalCase("text", zoo.transformer_encoder, "grid"))
