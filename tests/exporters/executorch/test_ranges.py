"""Values beyond those of calibration are not cut off."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

needs_arm = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("ethosu", "tosa_serializer")),
    reason="needs Arm's tools: pip install --no-deps ethos-u-vela==5.1.0 tosa-tools==2026.5.0",
)
pytest.importorskip("torchao")
TOKENS, WIDTH = 64, 8


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=20))
def test_the_range_holds_all_that_was_seen(largest):
    from edgetok_exporters.executorch.ranges import beyond

    assert beyond(largest) >= max(largest)
    assert beyond([largest[0]] * len(largest)) == pytest.approx(largest[0])


def test_the_more_inputs_differ_the_further_it_reaches():
    from edgetok_exporters.executorch.ranges import beyond

    assert beyond([]) == 0
    assert beyond([1, 1, 1, 1, 2]) > beyond([1, 1.5, 2, 2, 2]) == 2


def test_a_scale_covers_the_range():
    from edgetok_exporters.executorch.ranges import ReachObserver, beyond

    for least, wanted in [(0.0, beyond([1.0, 1.0, 3.0])), (100.0, 100.0)]:
        observer = ReachObserver(
            least, dtype=torch.int16, quant_min=-32767, quant_max=32767, qscheme=torch.per_tensor_symmetric
        )
        for top in (1.0, -1.0, 3.0):
            observer(torch.tensor([0.5, top]))
        scale, zero = observer.calculate_qparams()
        assert float(scale) * 32767 == pytest.approx(wanted)
        assert int(zero) == 0


class Attention(nn.Module):
    """Softmax of a layer's scores, as the exporter writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Linear(TOKENS, TOKENS, bias=False)
        nn.init.eye_(self.scores.weight)

    def forward(self, x):
        from edgetok_exporters.executorch.wide import softmax

        return softmax(self.scores(x), -1)


@needs_arm
@pytest.mark.parametrize("bounded", [True, False])
@pytest.mark.parametrize("seen", ["peaked", "wide"])
def test_attention_unlike_calibrations_is_still_right(seen, bounded, monkeypatch):
    """Calibrated on peaked rows, whose sums are near 1, and run on wide ones, whose sums are near 32; and turned."""
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    from edgetok.precision import Precision, TensorFormat
    from edgetok_exporters.executorch import ethos_u

    if not bounded:
        monkeypatch.setattr(ethos_u, "bound_softmax", lambda *_: None)
    generator = torch.Generator().manual_seed(0)
    peaked = 10 * torch.eye(TOKENS)[None, :WIDTH] + 0.1 * torch.rand(1, WIDTH, TOKENS, generator=generator)
    wide = 10.0 * (torch.arange(TOKENS) % 2 + torch.zeros(1, WIDTH, 1)) + 0.1 * torch.rand(
        peaked.shape, generator=generator
    )
    given, other = (peaked, wide) if seen == "peaked" else (wide, peaked)
    model = Attention().eval()
    module = torch.export.export(model, (), {"x": given}).module(check_guards=False)
    precision = Precision("int8-static", {"scores.weight": TensorFormat("int8")}, [{"x": given.numpy()}])
    with torch.no_grad():
        prepared = prepare_pt2e(module, ethos_u.quantiser(module, {"x": given}, precision, "ethos-u85-256"))
        prepared(x=given)
        wanted, found = model(other), convert_pt2e(prepared)(x=other)
    error = float((wanted - found).norm() / wanted.norm())
    assert error < 0.02 if bounded else error > 0.5
