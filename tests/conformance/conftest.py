"""Which checks of the kits are exhaustive: those that show on a further model what another case shows already."""

from __future__ import annotations

import pytest

from edgetok.testing import PluginConformance
from edgetok.testing.precision import PrecisionConformance

FAMILIES = {"vit", "dinov3", "bert-padded"}
"""Of a plugin that states more than ``FEW`` models: plain, with rotary positions, with padding.

The others are captured and rewritten by the tests of ``graph`` too, and reduced by those of Token Merging.
"""

FEW = 3
BIASED = "beit"
"""A bias per pair of tokens follows them; no other test exports one that does."""
EXPORTED = "test_exported_file_computes_the_same"
QUANTISED = "test_files_are_smaller_and_near"
"""Beside ONNX, each exporter's own tests quantise."""


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
    if not issubclass(item.cls, PluginConformance):
        return False
    rows = item.cls().rows()
    if item.originalname == EXPORTED:
        return given["exported"] is not rows["exported"][0] and given["exported"].id != BIASED
    return "accepted" in given and len(rows["accepted"]) > FEW and given["accepted"].id not in FAMILIES
