"""The Neural Engine: nothing that token merging inserts leaves it, where the target's realisations are used."""

from __future__ import annotations

import pytest

from edgetok_exporters.coreml.placement import INSERTED


@pytest.fixture(scope="module")
def delegation(merged, target, package):
    return package(merged("vit"), target()).delegation


def test_no_inserted_operation_leaves_the_neural_engine(delegation):
    assert delegation.delegate == "neural-engine"
    assert delegation.inside > 100
    assert not [fact for fact in delegation.facts if fact.startswith(INSERTED)]
    assert delegation.outside == {}
    assert delegation.partitions == 1


def test_by_gathers_they_would(merged, target, package):
    """The control: the same count sees what another realisation inserts."""
    found = package(merged("vit"), target(reduce="gather")).delegation
    assert found.facts[f"{INSERTED}merge"] > 0
    assert found.outside["gather_along_axis"] > 0
    assert found.partitions > 1


def test_fp32_inputs_cost_casts_that_the_plugin_did_not_make(program, target, package):
    import torch

    made = package(program(torch.nn.Linear(8, 8), {"input": torch.randn(1, 8)}), target(), io="fp32").delegation
    assert made.outside == {"cast": 2}
    assert made.facts == {}


def test_how_it_is_known_is_said(delegation, target):
    assert target().ops.source in delegation.how
    assert "not measured" in delegation.how
