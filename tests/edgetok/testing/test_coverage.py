"""Token reduction on architectures of transformers: some of the support table here, all of it in ``benchmarks``."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from edgetok.testing.architectures import ARCHITECTURES
from edgetok.testing.coverage import CLOSE, TOLERANCE, examine, exported
from edgetok.testing.trial import Subject, Trial
from edgetok_plugins.tome import ToMe

R = 2
QUICK = {
    "AIMv2", "Depth Anything", "DETR", "VideoMAE", "wav2vec 2.0", "MPNet", "PatchTST, several channels", "FNet",
    "Pixtral vision", "Point-MAE encoder", "SAM vision, windows",
}  # fmt: skip
"""One of each kind that the conformance kits do not try; ``EDGETOK_ARCHITECTURES=all`` tries all."""


def chosen():
    """What this run tries."""
    everything = os.environ.get("EDGETOK_ARCHITECTURES") == "all"
    return [a for a in ARCHITECTURES if everything or a.name in QUICK]


@pytest.mark.parametrize("architecture", chosen(), ids=lambda a: a.name)
def test_reduced_or_refused_with_a_reason(architecture):
    pytest.importorskip("transformers", reason="the architectures are those of transformers")
    found, _ = examine(architecture, ToMe(r=R))
    if architecture.refused:
        assert not found.works
        assert architecture.refused in found.reason
        assert len(found.reason.split()) >= 3, "reasons are for people"
        return
    assert found.works, found.reason
    assert found.identity is not None
    assert found.identity <= CLOSE
    assert found.tokens[0] - found.tokens[-1] == R * found.rewritten
    assert found.rewritten > 0
    assert found.shapes, "an output changed its shape or is not finite"
    assert found.change, "the outputs are those of the dense model"


@pytest.mark.exhaustive
@pytest.mark.parametrize("architecture", [a for a in ARCHITECTURES if not a.refused], ids=lambda a: a.name)
def test_every_file_computes_the_same(architecture):
    pytest.importorskip("transformers", reason="the architectures are those of transformers")
    pytest.importorskip("onnxruntime", reason="files are run in onnxruntime")
    found = exported(Trial(ToMe(r=R), Subject(architecture.component)))
    assert isinstance(found, float), found
    assert found <= TOLERANCE


def test_there_are_enough_and_all_are_distinct():
    assert max(Counter(a.name for a in ARCHITECTURES).values()) == 1
    assert len({a.model for a in ARCHITECTURES if not a.refused}) >= 25
    assert {a.name for a in ARCHITECTURES} >= QUICK
    assert {a.kind for a in ARCHITECTURES if not a.refused} == {
        "classification", "embedding", "dense prediction", "detection", "audio", "text", "video", "time series",
        "3-D geometry",
    }  # fmt: skip
