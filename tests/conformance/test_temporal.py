"""Reduction between frames keeps every promise of a reduction."""

from __future__ import annotations

from edgetok.registry import installed
from edgetok.testing import PluginConformance, digits, zoo
from edgetok.testing.cases import Case, RefusalCase

Temporal = installed().plugins["temporal"].value


class TestTemporal(PluginConformance):
    plugin = Temporal(layers=(0, 1))
    zero = Temporal(share=0.0)
    accepts = (
        Case("videomae", zoo.videomae),
        Case("videomae-drop", zoo.videomae, Temporal(how="drop", layers=(1,)), export=False),
        Case("videomae-density", zoo.videomae, Temporal(how="density", layers=(1,), segment=2), export=False),
        digits.case(Temporal(frames=16, layers=(1, 3), share=0.8), at_most=5e-5, every=5, task_only=True),
    )
    refuses = (*zoo.REFUSED, RefusalCase("vit", zoo.vit, "frames x positions"))
