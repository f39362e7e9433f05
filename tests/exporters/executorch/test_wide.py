"""Massive activations, a few values hundreds of times larger than the rest, do not cost an NPU all others."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from edgetok_exporters.executorch.wide import WIDE, layer_norm, narrow_gelus, softmax

WIDTH, MASSIVE = 64, 500.0
needs_arm = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("ethosu", "tosa_serializer")),
    reason="needs Arm's tools: pip install --no-deps ethos-u-vela==5.1.0 tosa-tools==2026.5.0",
)
aten = torch.ops.aten


@pytest.fixture(scope="module")
def tokens():
    """Ordinary tokens, the first with one massive entry."""
    torch.manual_seed(0)
    x = torch.randn(1, 9, WIDTH)
    x[0, 0, 5] = MASSIVE
    return x


class Block(nn.Module):
    """A norm and an activation, each before a layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.norm = nn.LayerNorm(WIDTH)
        self.first = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        return F.gelu(x) + F.gelu(self.first(self.norm(x)))


def decibel(wanted, found):
    return float(10 * (wanted.square().sum() / (wanted - found).square().sum()).log10())


@pytest.mark.parametrize("eps", [1e-12, 1e-5, 0.3])
@pytest.mark.parametrize("affine", [True, False])
def test_layer_norm_is_torchs(tokens, eps, affine):
    x = torch.cat([tokens, 1e-3 * tokens, torch.full((1, 9, WIDTH), 2.0)])
    weight, bias = (torch.randn(WIDTH), torch.randn(WIDTH)) if affine else (None, None)
    wanted = F.layer_norm(x.double(), [WIDTH], *(v if v is None else v.double() for v in (weight, bias)), eps)
    torch.testing.assert_close(layer_norm(x, [WIDTH], weight, bias, eps).double(), wanted, rtol=1e-4, atol=2e-5)


def test_a_norm_over_several_axes_is_left_alone(tokens):
    assert layer_norm(tokens, [9, WIDTH]) is NotImplemented


@pytest.mark.parametrize("dim", [-1, 1])
def test_softmax_is_torchs(tokens, dim):
    x = torch.cat([tokens, 30 * tokens.clamp(max=5), torch.zeros(1, 9, WIDTH)])
    torch.testing.assert_close(softmax(x, dim), x.softmax(dim))
    assert softmax(x, dim, torch.float64) is NotImplemented


class Tables(TorchFunctionMode):
    """Reciprocals as an NPU reads them: 256 entries up to ``largest``, and straight lines between them."""

    def __init__(self, largest: float) -> None:
        super().__init__()
        self.largest = largest

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is not torch.Tensor.reciprocal:
            return func(*args, **(kwargs or {}))
        reach = self.largest if float(args[0].max()) > 1 else 1.0
        at = torch.linspace(0, reach, 257, dtype=torch.float64)
        entries = (1 / at).clamp(max=1 / float(args[0].min()))
        place = args[0].double() / reach * 256
        low = place.floor().long().clamp(max=255)
        return torch.lerp(entries[low], entries[low + 1], place - low).to(args[0].dtype)


def test_a_coarse_table_does_softmax_no_harm():
    """Rows from peaked to flat. Read once, the reciprocal of a sum near 1 is wrong by several per cent."""
    rows = torch.linspace(0, 12, 40)[:, None] * torch.linspace(-1, 0, 197).square().neg()
    rows = torch.cat([rows, torch.eye(197)[:5] * torch.linspace(4, 12, 5)[:, None]])
    with Tables(198.0):
        found = softmax(rows, -1)
        grown = (rows - rows.amax(-1, keepdim=True)).exp()
        once = grown * grown.sum(-1, keepdim=True).reciprocal()
    wanted = rows.softmax(-1)
    assert ((once - wanted).norm(dim=-1) / wanted.norm(dim=-1)).max() > 0.05
    assert ((found - wanted).norm(dim=-1) / wanted.norm(dim=-1)).max() < 3e-3


def captured(x):
    exported = torch.export.export(Block().eval(), (), {"x": x})
    return exported.run_decompositions({aten.layer_norm.default: layer_norm}).module(check_guards=False)


def test_only_wide_gelus_are_narrowed(tokens):
    module = captured(tokens)
    wanted = module(x=tokens)
    narrow_gelus(module, [{"x": tokens}])
    gelus = module.graph.find_nodes(op="call_function", target=aten.gelu.default)
    assert ["mul" in gelu.args[0].name for gelu in gelus] == [True, False]
    torch.testing.assert_close(module(x=tokens), wanted)
    with torch.no_grad():
        seen = fx_values(module, tokens)
    assert all(seen[gelu.args[0].name].abs().max() <= WIDE for gelu in gelus)


def fx_values(module, x):
    class Values(torch.fx.Interpreter):
        def run_node(self, n):
            values[n.name] = super().run_node(n)
            return values[n.name]

    values = {}
    Values(module).run(x)
    return values


@needs_arm
def test_ordinary_tokens_survive_beside_a_massive_one(tokens):
    """In int8, or squared before they are scaled, nothing is left of them."""
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    from edgetok.precision import Precision, TensorFormat
    from edgetok_exporters.executorch.ethos_u import quantiser

    module, example = captured(tokens), {"x": tokens}
    with torch.no_grad():
        wanted = module(x=tokens)
        precision = Precision("int8-static", {"first.weight": TensorFormat("int8")}, [{"x": tokens.numpy()}])
        prepared = prepare_pt2e(module, quantiser(module, example, precision, "ethos-u85-256"))
        prepared(x=tokens)
        found = convert_pt2e(prepared)(x=tokens)
    assert not torch.equal(found, wanted)
    assert decibel(wanted[0, 1:], found[0, 1:]) > 35
