"""The direct translation gives what the whole of ``torch.onnx.export`` gives."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import nn

from edgetok_exporters.onnx import convert


class Layers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 8, 4, 4), nn.LayerNorm(8), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        y = self.norm(self.conv(x).flatten(2).transpose(1, 2))
        return (self.fc(nn.functional.gelu(y).mean(1)),)


@pytest.mark.parametrize("opset", [18, 20, 23])
def test_both_ways_give_the_same_operators(capture, opset):
    exported = capture(Layers(), {"x": torch.randn(2, 3, 8, 8)}).exported
    direct = convert.convert("model", exported, opset)
    whole = convert.convert("model", exported, opset, retrace=True)
    assert Counter(n.op_type for n in direct.graph) == Counter(n.op_type for n in whole.graph)
    assert direct.opset_imports[""] == whole.opset_imports[""] == opset


def test_what_must_be_decomposed_goes_the_whole_way(capture, monkeypatch):
    gone = []
    whole = convert._through_torch
    monkeypatch.setattr(convert, "_through_torch", lambda *given: gone.append(given) or whole(*given))
    convert.convert("model", capture(lambda x: (x * 2,), {"x": torch.randn(2, 3)}).exported, 20)
    assert not gone
    mixed = capture(lambda x, n: (x * n,), {"x": torch.randn(2, 3), "n": torch.ones(2, 3, dtype=torch.int64)})
    convert.convert("model", mixed.exported, 20)
    assert len(gone) == 1


def test_without_torchs_inner_parts_everything_goes_the_whole_way(capture, monkeypatch):
    def gone(opset: int) -> None:
        raise ImportError("moved")

    monkeypatch.setattr(convert, "_registry", gone)
    model = convert.convert("model", capture(lambda x: (x * 2,), {"x": torch.randn(2, 3)}).exported, 20)
    assert [n.op_type for n in model.graph if n.op_type == "Mul"] == ["Mul"]
