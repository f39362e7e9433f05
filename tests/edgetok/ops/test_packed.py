"""Products with packed weights: layout, arithmetic, gradient, one node in a graph."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgetok.ops import packed, packed_matmul
from edgetok.ops.packed import PACKED_MATMUL, WIDTHS, row_bytes, unpack


def pack(codes, bits):
    """Bit by bit in numpy, as the module's docstring says."""
    codes = np.pad(codes, [*[(0, 0)] * (codes.ndim - 1), (0, -codes.shape[-1] % 8)])
    stream = np.unpackbits(codes[..., None], axis=-1, bitorder="little")[..., :bits]
    return np.packbits(stream.reshape(*codes.shape[:-1], -1), axis=-1, bitorder="little")


def make(bits, columns, group, lead=(5,), zero=True, seed=0):
    """Packed tensors, and the matrix that they stand for in float64."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 1 << bits, (*lead, columns), dtype=np.uint8)
    groups = -(-columns // group)
    scale = rng.uniform(0.5, 1.5, (*lead, groups)).astype(np.float16)
    zeros = rng.integers(0, 1 << bits, (*lead, groups), dtype=np.uint8) if zero else None
    shift = packed.middle(bits) if zeros is None else np.repeat(zeros, group, -1)[..., :columns].astype(float)
    matrix = (codes - shift) * np.repeat(scale.astype(float), group, -1)[..., :columns]
    tensors = [torch.from_numpy(pack(codes, bits)), torch.from_numpy(scale), zeros]
    return [*tensors[:2], None if zeros is None else torch.from_numpy(zeros)], matrix, codes


def close(found, expected):
    """To a few roundings of the largest."""
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=2e-6 * np.abs(expected).max())


@given(st.sampled_from(WIDTHS), st.integers(1, 40), st.integers(0, 1000))
def test_unpacking_is_the_layout(bits, columns, seed):
    codes = np.random.default_rng(seed).integers(0, 1 << bits, (2, 3, columns), dtype=np.uint8)
    found = unpack(torch.from_numpy(pack(codes, bits)), bits, columns)
    np.testing.assert_array_equal(found.numpy(), codes)


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize(("columns", "group"), [(32, 16), (50, 16), (13, 64)])
@pytest.mark.parametrize("zero", [True, False])
def test_products_are_those_of_the_matrix(bits, columns, group, zero):
    x = torch.randn(4, columns, generator=torch.Generator().manual_seed(1))
    tensors, matrix, _ = make(bits, columns, group, zero=zero)
    found = packed_matmul(x, *tensors, bits=bits, columns=columns, group=group)
    close(found, x.double().numpy() @ matrix.T)


def test_the_packing_of_the_plugin_is_this_one():
    """One layout in files and in graphs."""
    from edgetok_plugins.mc_moe.bits import pack_codes

    for bits in WIDTHS:
        _, _, codes = make(bits, 21, 8)
        np.testing.assert_array_equal(pack_codes(torch.from_numpy(codes), bits).numpy(), pack(codes, bits))


@pytest.mark.parametrize("x", [(3, 4, 24), (1, 4, 24), (4, 24)], ids=str)
def test_stacks_multiply_one_by_one_and_broadcast(x):
    given = torch.randn(x, generator=torch.Generator().manual_seed(1))
    tensors, matrix, _ = make(3, 24, 8, lead=(3, 5))
    found = packed_matmul(given, *tensors, bits=3, columns=24, group=8)
    assert found.shape == (3, 4, 5)
    close(found, given.double().numpy() @ matrix.swapaxes(-1, -2))


@pytest.mark.parametrize("lead", [(5,), (2, 5)], ids=str)
def test_opcheck(lead):
    tensors, _, _ = make(3, 24, 8, lead=lead)
    torch.library.opcheck(PACKED_MATMUL, (torch.randn(2, 4, 24, requires_grad=True), *tensors, 3, 24, 8))


def test_the_gradient_of_the_input_is_that_of_the_matrix():
    tensors, matrix, _ = make(2, 24, 8, lead=(3, 5))
    x = torch.randn(1, 4, 24, requires_grad=True)
    packed_matmul(x, *tensors, bits=2, columns=24, group=8).square().sum().backward()
    plain = x.detach().clone().requires_grad_()
    (plain @ torch.from_numpy(matrix).float().mT).square().sum().backward()
    close(x.grad, plain.grad.numpy())


def test_sizes_that_do_not_fit_are_refused():
    tensors, _, _ = make(4, 24, 8)
    x = torch.randn(2, 24)
    for bits, columns, group in ((5, 24, 8), (3, 24, 8), (4, 23, 8), (4, 24, 16), (4, 24, 0)):
        with pytest.raises(ValueError, match=r"widths|rows|scales"):
            packed_matmul(x, *tensors, bits=bits, columns=columns, group=group)


def test_a_row_takes_whole_units_of_eight_codes():
    assert [row_bytes(9, bits) for bits in WIDTHS] == [2, 4, 6, 8, 16]
