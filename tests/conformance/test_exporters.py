"""Every installed exporter keeps the promises of an exporter."""

from __future__ import annotations

from edgetok.registry import installed
from edgetok.testing import ExporterConformance

PROOFS = ("run", "simulated", "compiled", "lowered")


def target_of(exporter: str) -> str:
    """A target of an exporter whose files are proven best here."""
    targets = [found.value for found in installed().targets.values() if found.value.exporter == exporter]
    return min(targets, key=lambda target: PROOFS.index(target.proof)).name


for _name in installed().exporters:
    _class = f"Test{_name.title().replace('-', '')}"
    globals()[_class] = type(_class, (ExporterConformance,), {"exporter": _name, "target": target_of(_name)})


def test_there_are_exporters():
    assert "onnx" in installed().exporters
    assert [name for name in globals() if name.startswith("Test")]
