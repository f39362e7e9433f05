"""Plain layouts before reshapes; extra outputs and fixed batches are tested where files are (``test_export.py``)."""

from __future__ import annotations

import torch

from edgetok.testing import zoo
from edgetok.testing.trial import run, subject, text
from edgetok_exporters.onnx.convert import convert
from edgetok_exporters.onnx.prepare import with_plain_layouts

CLONE = torch.ops.aten.clone.default


def clones(graph):
    return [node for node in graph.nodes if node.target == CLONE and node.kwargs]


def test_what_was_moved_is_laid_out_anew_before_it_is_reshaped():
    program = subject(zoo.vit).dense
    before = text(program)
    plain = with_plain_layouts(program.exported)
    assert len(clones(plain.graph)) - len(clones(program.graph)) == 3, "one per attention"
    assert text(program) == before
    with torch.no_grad():
        found = plain.module()(**program.example)
    assert all(torch.equal(a, b) for a, b in zip(found, run(program), strict=True))


def test_a_model_that_must_be_decomposed_keeps_its_masked_attention():
    """BEiT's relative positions have operators without a translation; decomposing them once broke its reshapes."""
    model = convert("beit", subject(zoo.beit).dense.exported, 20)
    assert {value.name for value in model.graph.inputs} == {"pixel_values"}
