"""Honest ``.pt2`` files."""

from pathlib import Path

import pytest
import torch
from torch import nn

from edgetok.errors import UnsupportedModel
from edgetok.sources import load_model


def test_computes_what_was_saved_with_keywords_only(pt2: Path) -> None:
    component = load_model(str(pt2)).only
    assert component.dynamic == {"x": {0: "batch"}, "y": {0: "batch"}}
    saved = torch.export.load(pt2)
    x, y = torch.randn(5, 4), torch.randn(5, 3)
    assert torch.equal(component.module(x=x, y=y)["logits"], saved.module()(x, y=y)["logits"])
    assert set(component.module.state_dict()) >= {"linear.weight", "linear.bias"}


def test_static_batch_stays_static(tiny: nn.Module, tmp_path: Path) -> None:
    torch.export.save(torch.export.export(tiny, (torch.randn(1, 4),)), tmp_path / "static.pt2")
    component = load_model(str(tmp_path / "static.pt2")).only
    assert component.dynamic == {}
    assert component.inputs["x"].shape == (1, 4)


def test_missing_example_inputs_are_made(tiny: nn.Module, tmp_path: Path) -> None:
    batch = torch.export.Dim("batch")
    exported = torch.export.export(tiny, (torch.randn(2, 4),), dynamic_shapes={"x": {0: batch}})
    exported.example_inputs = None
    torch.export.save(exported, tmp_path / "bare.pt2")
    component = load_model(str(tmp_path / "bare.pt2")).only
    assert component.inputs["x"].shape == (2, 4)


class Nested(nn.Module):
    def forward(self, pair: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        return pair[0] + pair[1]


def test_nested_inputs_are_unsupported(tmp_path: Path) -> None:
    torch.export.save(torch.export.export(Nested(), ((torch.zeros(2), torch.zeros(2)),)), tmp_path / "nested.pt2")
    with pytest.raises(UnsupportedModel, match="nested"):
        load_model(str(tmp_path / "nested.pt2"))


def test_can_be_captured_again(pt2: Path) -> None:
    component = load_model(str(pt2)).only
    batch = torch.export.Dim("batch")
    shapes = {name: {0: batch} for name in component.inputs}
    again = torch.export.export(component.module, (), dict(component.inputs), dynamic_shapes=shapes)
    x, y = torch.randn(7, 4), torch.randn(7, 3)
    assert torch.equal(again.module()(x=x, y=y)["logits"], component.module(x=x, y=y)["logits"])
    assert set(again.state_dict) == {"linear.weight", "linear.bias"}
