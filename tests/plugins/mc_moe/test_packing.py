import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from edgetok.errors import BrokenWeights
from edgetok_plugins.mc_moe.bits import WIDTHS
from edgetok_plugins.mc_moe.packing import PackedWeight, dequantise, middle, pack, packed_bytes, stack, unpack


def weight(bits=3, out=4, columns=16, group=8, *, zero=True, dtype=torch.float16, seed=0):
    made = torch.Generator().manual_seed(seed)
    codes = torch.randint(0, 2**bits, (out, columns), generator=made).to(torch.uint8)
    scale = torch.rand(out, -(-columns // group), generator=made).to(dtype)
    zeros = torch.randint(0, 2**bits, scale.shape, generator=made).to(torch.uint8) if zero else None
    return codes, pack(codes, scale, zeros, bits=bits, group=group)


sizes = st.tuples(
    st.sampled_from(WIDTHS), st.integers(1, 5), st.integers(1, 40), st.integers(1, 48), st.booleans(), st.booleans()
)


@given(sizes)
@settings(deadline=None)
def test_codes_values_and_bytes_by_the_definition(size):
    bits, out, columns, group, zero, half = size
    codes, packed = weight(bits, out, columns, group, zero=zero, dtype=torch.float16 if half else torch.float32)
    assert torch.equal(unpack(packed), codes)
    values = dequantise(packed)
    for row in range(out):
        for column in range(columns):
            point = packed.zero[row, column // group] if zero else middle(bits)
            expected = packed.scale[row, column // group].float() * (codes[row, column].float() - float(point))
            assert values[row, column] == expected
    groups = -(-columns // group)
    bits_on_disk = out * (8 * bits * -(-columns // 8) + groups * ((16 if half else 32) + 8 * zero))
    assert packed.bytes() == bits_on_disk / 8
    assert packed.bytes() == packed_bytes((out, columns), bits, group, zero=zero, scale_bytes=2 if half else 4)


def test_one_bit_without_zero_points_is_plus_or_minus_half_the_scale():
    packed = pack(torch.tensor([[0, 1]], dtype=torch.uint8), torch.tensor([[3.0]]), bits=1, group=2)
    assert dequantise(packed).tolist() == [[-1.5, 1.5]]


@pytest.mark.parametrize("zero", [True, False])
def test_a_file_holds_these_bytes_and_gives_them_back(tmp_path, zero):
    _, packed = weight(3, zero=zero)
    file = tmp_path / "packed.safetensors"
    save_file(packed.tensors("a.b"), file)
    length = int.from_bytes(file.read_bytes()[:8], "little")
    assert file.stat().st_size == 8 + length + packed.bytes() + 12
    loaded = PackedWeight.from_tensors(load_file(file), "a.b")
    assert (loaded.bits, loaded.shape, loaded.group, loaded.zero is None) == (3, (4, 16), 8, not zero)
    assert torch.equal(dequantise(loaded), dequantise(packed))


def test_a_stack_holds_its_matrices():
    singles = [weight(2, seed=seed)[1] for seed in range(3)]
    stacked = stack(singles)
    assert stacked.stacked == (3,)
    assert stacked.shape == (4, 16)
    assert stacked.bytes() == sum(single.bytes() for single in singles)
    assert torch.equal(dequantise(stacked), torch.stack([dequantise(single) for single in singles]))
    assert torch.equal(dequantise(stacked[1]), dequantise(singles[1]))
    again = PackedWeight.from_tensors(stacked.tensors("s"), "s")
    assert torch.equal(dequantise(again.rows(1, 3)), dequantise(stacked)[:, 1:3])


def test_a_stack_is_of_one_form():
    with pytest.raises(ValueError, match="one width"):
        stack([weight(2)[1], weight(3)[1]])
    with pytest.raises(ValueError, match="at least one"):
        stack([])


@pytest.mark.parametrize(
    "change",
    [
        {"codes": torch.zeros(4, 5, dtype=torch.uint8)},
        {"codes": torch.zeros(4, 6, dtype=torch.int32)},
        {"scale": torch.zeros(4, 3, dtype=torch.float16)},
        {"scale": torch.zeros(4, 2, dtype=torch.float64)},
        {"zero": torch.zeros(3, 2, dtype=torch.uint8)},
        {"layout": torch.tensor([5, 16, 8], dtype=torch.int32)},
        {"layout": torch.tensor([3, 16, 0], dtype=torch.int32)},
        {"layout": torch.tensor([3, -16, 8], dtype=torch.int32)},
        {"layout": torch.tensor([3, 16], dtype=torch.int32)},
        {"codes": torch.zeros(6, dtype=torch.uint8)},
    ],
)
def test_tensors_that_do_not_fit_are_refused(change):
    tensors = weight(3)[1].tensors("w") | {f"w.{name}": value for name, value in change.items()}
    with pytest.raises(BrokenWeights):
        PackedWeight.from_tensors(tensors, "w")


@pytest.mark.parametrize(
    ("layout", "says"),
    [
        ((3, -64, 8), "layout: columns is -64, expected 1 or more"),
        ((3, 16, 0), "layout: group is 0, expected 1 or more"),
        ((5, 16, 8), "layout: bits are 5, expected one of (1, 2, 3, 4, 8)"),
    ],
)
def test_the_one_field_that_is_wrong_is_named(layout, says):
    tensors = weight(3)[1].tensors("w") | {"w.layout": torch.tensor(layout, dtype=torch.int32)}
    with pytest.raises(BrokenWeights, match="packed weight w is malformed") as refused:
        PackedWeight.from_tensors(tensors, "w")
    assert refused.value.why == says
    assert "Compress the model again" in refused.value.hint


def test_what_is_missing_is_named():
    tensors = weight(3)[1].tensors("w")
    del tensors["w.scale"]
    with pytest.raises(BrokenWeights, match="scale"):
        PackedWeight.from_tensors(tensors, "w")


def test_a_group_longer_than_a_row_costs_no_more_than_the_row():
    _, packed = weight(3, columns=16, group=2**31 - 1)
    assert dequantise(packed).shape == (4, 16)
