import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgetok_plugins.mc_moe.bits import WIDTHS, pack_codes, row_bytes, unpack_codes

widths = st.sampled_from(WIDTHS)


@st.composite
def rows(draw):
    bits, rows, count = draw(widths), draw(st.integers(1, 4)), draw(st.integers(1, 40))
    values = st.lists(st.integers(0, 2**bits - 1), min_size=count, max_size=count)
    return bits, draw(st.lists(values, min_size=rows, max_size=rows))


@given(rows())
def test_what_is_packed_comes_out(case):
    bits, values = case
    codes = torch.tensor(values, dtype=torch.uint8)
    packed = pack_codes(codes, bits)
    assert packed.shape == (len(values), row_bytes(codes.shape[1], bits))
    assert torch.equal(unpack_codes(packed, bits, codes.shape[1]), codes)


@given(rows())
def test_a_row_is_one_stream_of_bits_lowest_first(case):
    bits, values = case
    packed = pack_codes(torch.tensor(values, dtype=torch.uint8), bits)
    for row, codes in zip(packed.tolist(), values, strict=True):
        stream = sum(code << (index * bits) for index, code in enumerate(codes))
        assert bytes(row) == stream.to_bytes(row_bytes(len(codes), bits), "little")


def test_leading_axes_are_kept():
    codes = torch.randint(0, 8, (2, 3, 5, 16), dtype=torch.uint8)
    packed = pack_codes(codes, 3)
    assert packed.shape == (2, 3, 5, 6)
    assert torch.equal(unpack_codes(packed, 3, 16), codes)


def test_what_does_not_fit_is_refused():
    codes = torch.tensor([[0, 4]], dtype=torch.uint8)
    with pytest.raises(ValueError, match="below 4"):
        pack_codes(codes, 2)
    with pytest.raises(ValueError, match="not 5"):
        pack_codes(codes, 5)
    with pytest.raises(ValueError, match="3 bytes"):
        unpack_codes(torch.zeros(1, 4, dtype=torch.uint8), 3, 8)
