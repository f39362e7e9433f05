"""Which checks of the kits are exhaustive: those that show on a further model what another case shows already."""

from __future__ import annotations

import pytest

from edgetok.testing import ExporterConformance, PluginConformance
from edgetok.testing.precision import PrecisionConformance

FAMILIES = {"vit", "dinov3", "bert-padded"}
"""Of a plugin that states more than ``FEW`` models: plain, with rotary positions, with padding.

The others are captured and rewritten by the tests of ``graph`` too, and reduced by those of Token Merging.
"""

FEW = 3
BIASED = "beit"
"""A bias per pair of tokens follows them; no other test exports one that does."""
EXPORTED = "test_exported_file_computes_the_same"
AFRESH = {"test_input_is_left_alone", "test_it_is_deterministic"}
"""A model captured again for each plugin: what they look for is in the plugin, so its first model shows it.

What a plugin does to its signals is looked at on every model (``test_signals_are_left_alone``).
"""
QUANTISED = "test_files_are_smaller_and_near"
"""Beside ONNX, each exporter's own tests quantise."""
CHECK_BUILD = "test_merged_check_build_computes_the_same"
SLOW_TO_LOWER = "executorch"
"""Its own tests run a merged check build."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them; a plugin's first exported case is always exported and run."""
    for item in items:
        if isinstance(item, pytest.Function) and item.cls is not None and is_further(item):
            item.add_marker(pytest.mark.exhaustive)


def is_further(item: pytest.Function) -> bool:
    """Whether a check of a kit is done in another test too, but for the model or the exporter."""
    given = item.callspec.params if hasattr(item, "callspec") else {}
    if issubclass(item.cls, PrecisionConformance):
        return item.originalname == QUANTISED and given["exporter"] != "onnx"
    if issubclass(item.cls, ExporterConformance):
        return item.originalname == CHECK_BUILD and item.cls.exporter == SLOW_TO_LOWER
    if not issubclass(item.cls, PluginConformance):
        return False
    rows = item.cls().rows()
    if item.originalname == EXPORTED:
        return given["exported"] is not rows["exported"][0] and given["exported"].id != BIASED
    if item.originalname in AFRESH:
        return given["accepted"] is not rows["accepted"][0]
    return "accepted" in given and len(rows["accepted"]) > FEW and given["accepted"].id not in FAMILIES
