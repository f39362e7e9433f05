"""What was gained, what was lost and how each figure was measured: JSON first, everything else rendered from it.

``Report`` is the public contract (``report.json``); ``render_html``, ``render_card`` and ``render_table`` need
nothing else. ``count_flops`` and ``tokens_per_layer`` read a program's graph. Importing this package is light.
"""

from edgetok.report.card import render_card
from edgetok.report.flops import Flops, count_flops
from edgetok.report.html import render_html
from edgetok.report.schema import SCHEMA, Report, json_schema
from edgetok.report.terminal import render_table
from edgetok.report.tokens import tokens_per_layer

__all__ = [
    "SCHEMA",
    "Flops",
    "Report",
    "count_flops",
    "json_schema",
    "render_card",
    "render_html",
    "render_table",
    "tokens_per_layer",
]
