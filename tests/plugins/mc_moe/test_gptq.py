import pytest
import torch

from edgetok_plugins.mc_moe.gptq import gptq, hessian
from edgetok_plugins.mc_moe.grid import round_to_nearest
from edgetok_plugins.mc_moe.packing import dequantise


def case(tokens, columns, correlation, seed, rows=24):
    """Weights, and inputs whose neighbouring columns are correlated, some columns larger than others."""
    made = torch.Generator().manual_seed(seed)
    mix = correlation * torch.randn(columns, columns, generator=made) / columns**0.5 + torch.eye(columns)
    inputs = torch.randn(tokens, columns, generator=made) @ mix * torch.rand(columns, generator=made).exp()
    return torch.randn(rows, columns, generator=made), inputs


def error(packed, weight, inputs):
    return float(((dequantise(packed) - weight) @ inputs.T).norm())


@pytest.mark.parametrize("act_order", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
@pytest.mark.parametrize(
    ("tokens", "columns", "group", "correlation"), [(512, 64, 16, 1.0), (200, 96, 64, 0.5), (40, 80, 128, 1.0)]
)
def test_it_beats_rounding_to_nearest(tokens, columns, group, correlation, bits, act_order):
    for seed in range(3):
        weight, inputs = case(tokens, columns, correlation, seed)
        found = gptq(weight, hessian(inputs), bits=bits, group=group, act_order=act_order)
        nearest = round_to_nearest(weight, bits=bits, group=group)
        assert error(found, weight, inputs) < error(nearest, weight, inputs)
        assert found.bytes() == nearest.bytes()


def test_without_inputs_it_is_rounding_to_nearest():
    weight, _ = case(4, 48, 0.5, 0)
    found = gptq(weight, torch.zeros(48, 48), bits=3, group=16)
    assert torch.equal(dequantise(found), dequantise(round_to_nearest(weight, bits=3, group=16)))


def test_blocks_change_nothing_but_the_order_of_sums(monkeypatch):
    """One block over all columns, and blocks of one group, agree."""
    weight, inputs = case(300, 96, 0.5, 1)
    found = []
    for block in (16, 96):
        monkeypatch.setattr("edgetok_plugins.mc_moe.gptq.BLOCK", block)
        found.append(dequantise(gptq(weight, hessian(inputs), bits=4, group=16)))
    assert (found[0] == found[1]).float().mean() > 0.99


def test_columns_by_the_definition():
    """The column step, written out with explicit inverses: what is left is solved for anew after each column."""
    weight, inputs = case(64, 6, 1.0, 2, rows=3)
    damped = hessian(inputs).double()
    damped += 0.01 * damped.diagonal().mean() * torch.eye(6, dtype=torch.float64)
    work, out = weight.double().clone(), torch.empty(3, 6, dtype=torch.float64)
    packed = gptq(weight, hessian(inputs), bits=8, group=6)
    scale, zero = packed.scale.double(), packed.zero.double()
    for column in range(6):
        code = (work[:, column] / scale[:, 0] + zero[:, 0]).round().clamp(0, 255)
        out[:, column] = (code - zero[:, 0]) * scale[:, 0]
        inverse = torch.linalg.inv(damped[column:, column:])
        gone = (work[:, column] - out[:, column]) / inverse[0, 0]
        work[:, column:] -= gone[:, None] * inverse[0]
    torch.testing.assert_close(dequantise(packed).double(), out, atol=1e-6, rtol=1e-6)


def test_act_order_keeps_columns_in_their_places():
    weight, inputs = case(300, 64, 0.0, 3)
    packed = gptq(weight, hessian(inputs), bits=8, group=16, act_order=True)
    torch.testing.assert_close(dequantise(packed), weight, atol=0.05, rtol=0)


def test_inputs_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="not finite"):
        gptq(torch.ones(2, 4), torch.full((4, 4), torch.inf), bits=2, group=4)


def test_fewer_tokens_than_columns_are_enough():
    weight, inputs = case(2, 64, 0.0, 4)
    packed = gptq(weight, hessian(inputs), bits=3, group=32)
    assert dequantise(packed).isfinite().all()
