"""ToDo keeps every promise of a reduction."""

from __future__ import annotations

from edgetok.registry import installed
from edgetok.testing import PluginConformance, digits, zoo
from edgetok.testing.cases import Case, RefusalCase

ToDo = installed().plugins["todo"].value


class TestToDo(PluginConformance):
    plugin = ToDo(min_tokens=1)
    zero = ToDo(factor=1, min_tokens=1)
    accepts = (
        Case("mmdit", zoo.mmdit),
        digits.case(ToDo(min_tokens=1, pool="average"), at_most=4e-3, every=5, task_only=True),
    )
    refuses = (
        *zoo.REFUSED,
        RefusalCase("text", zoo.transformer_encoder, "grid"),
        RefusalCase("odd", zoo.vit, "divide"),
    )
