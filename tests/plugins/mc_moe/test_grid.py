import pytest
import torch

from edgetok_plugins.mc_moe.grid import fit, round_to_nearest
from edgetok_plugins.mc_moe.packing import dequantise


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_one_bit_is_the_sign_times_the_mean_of_absolute_values():
    weight = torch.randn(3, 64)
    packed = round_to_nearest(weight, bits=1, group=32)
    groups = weight.unflatten(1, (2, 32))
    expected = torch.where(groups >= 0, 1.0, -1.0) * groups.abs().mean(2, keepdim=True)
    assert packed.zero is None
    torch.testing.assert_close(dequantise(packed), expected.flatten(1), rtol=2**-10, atol=0)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_every_weight_gets_its_nearest_level(bits):
    weight = torch.randn(4, 48)
    grid = fit(weight, bits)
    levels = grid.values(torch.arange(2.0**bits).expand(4, -1))
    nearest = (weight[..., None] - levels[:, None]).abs().amin(-1)
    torch.testing.assert_close((grid.values(grid.codes(weight)) - weight).abs(), nearest, rtol=0, atol=1e-6)


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_narrowing_the_range_never_hurts_and_helps_with_outliers(bits):
    weight = torch.randn(8, 128)
    weight[:, 0] *= 12
    top = 2**bits - 1
    low, high = weight.amin(1, True).clamp(max=0), weight.amax(1, True).clamp(min=0)
    scale = ((high - low) / top).half().float()
    zero = (-low / scale).round()
    whole = ((weight / scale + zero).round().clamp(0, top) - zero) * scale
    error = (dequantise(round_to_nearest(weight, bits=bits, group=128)) - weight).square().sum(1)
    plain = (whole - weight).square().sum(1)
    assert (error <= plain).all()
    assert error.sum() < 0.95 * plain.sum()


def test_more_bits_err_less():
    weight = torch.randn(8, 100)
    errors = [
        (dequantise(round_to_nearest(weight, bits=bits, group=32)) - weight).square().mean() for bits in (1, 2, 3, 4, 8)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-4


@pytest.mark.parametrize("bits", [1, 3])
def test_zeros_stay_zero_or_nearly_and_tiny_weights_do_not_divide_by_zero(bits):
    zeros = dequantise(round_to_nearest(torch.zeros(2, 8), bits=bits, group=8))
    tiny = dequantise(round_to_nearest(torch.full((2, 8), 1e-9), bits=bits, group=8))
    if bits > 1:
        assert torch.equal(zeros, torch.zeros(2, 8))
    assert tiny.isfinite().all()
    assert zeros.isfinite().all()
