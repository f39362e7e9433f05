"""Packed in the file too: what weights take there, against the arithmetic of their bits."""

from __future__ import annotations

import pytest
import torch

from edgetok.graph.capture import capture
from edgetok.model import Component
from edgetok.registry import installed
from edgetok.session.variants import Variant
from edgetok.session.weight_bytes import arithmetic, size_note
from edgetok_exporters.onnx import OnnxExporter
from edgetok_plugins.mc_moe import McMoe
from edgetok_plugins.mc_moe.compress import compress, packed_tensors
from edgetok_plugins.mc_moe.lowering.replace import packed_component
from edgetok_plugins.mc_moe.packing import packed_bytes

H, INNER, EXPERTS, GROUP, VOCABULARY = 128, 64, 8, 64, 64
IDS = torch.arange(32).reshape(2, 16)


@pytest.fixture(scope="module")
def exported(build, saved, tmp_path_factory):
    sizes = {"hidden_size": H, "intermediate_size": INNER, "num_local_experts": EXPERTS, "num_hidden_layers": 1}
    model, place = build("Mixtral", "ForCausalLM", use_cache=False, **sizes), tmp_path_factory.mktemp("out")
    options = McMoe(bits=2.5, group_size=GROUP, method="rtn")
    manifest = compress(saved(model, "1GB"), place / "small", {"input_ids": IDS}, options)
    component = Component("model", model, {"input_ids": IDS}, {"input_ids": {0: "batch"}})
    program = capture(packed_component(component, packed_tensors(place / "small")))
    target = installed().target("onnx-cpu")
    return Variant(program, OnnxExporter().export(program, target, place), OnnxExporter()), manifest


def by_hand(manifest):
    """Codes, scales and zero points of experts and attention; router, embeddings and norms in fp32."""
    (widths,) = manifest["bits"].values()
    experts = sum(
        packed_bytes((rows, columns), width, GROUP, zero=width > 1)
        for width in widths
        for rows, columns in ((2 * INNER, H), (H, INNER))
    )
    attention = 4 * packed_bytes((H, H), 4, GROUP, zero=True)
    return experts + attention + 4 * (2 * VOCABULARY * H + EXPERTS * H + 3 * H)


def test_the_arithmetic_is_that_of_every_weight(exported):
    variant, manifest = exported
    assert arithmetic(variant.program, "fp32") == pytest.approx(by_hand(manifest), abs=256)  # rotary frequencies


def test_weights_in_the_file_are_within_three_percent(exported):
    variant, manifest = exported
    assert abs(variant.exported.weights / by_hand(manifest) - 1) < 0.03
    assert variant.exported.weights < variant.bytes


def test_the_note_says_both(exported):
    variant, _ = exported
    note = size_note(variant, "fp32")
    assert f"{variant.bytes / 1024:.0f} KiB" in note
    assert f"{variant.exported.weights / 1024:.0f} KiB" in note
