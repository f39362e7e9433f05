"""Every installed exporter keeps the promises of an exporter."""

from __future__ import annotations

from edgetok.registry import installed
from edgetok.testing import ExporterConformance


def target_of(exporter: str) -> str:
    return next(name for name, found in installed().targets.items() if found.value.exporter == exporter)


for _name in installed().exporters:
    _class = f"Test{_name.title().replace('-', '')}"
    globals()[_class] = type(_class, (ExporterConformance,), {"exporter": _name, "target": target_of(_name)})


def test_there_are_exporters():
    assert "onnx" in installed().exporters
    assert [name for name in globals() if name.startswith("Test")]
