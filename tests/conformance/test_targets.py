"""Every installed target keeps the promises of a target."""

from __future__ import annotations

from edgetok.registry import installed
from edgetok.testing import TargetConformance

for _name in installed().targets:
    _class = f"Test{_name.title().replace('-', '')}"
    globals()[_class] = type(_class, (TargetConformance,), {"target": _name})


def test_there_are_targets():
    assert "onnx-cpu" in installed().targets
    assert [name for name in globals() if name.startswith("Test")]
