import json
import struct

import pytest
import torch
from safetensors.torch import save_file

from edgetok.errors import BrokenWeights, UnsupportedModel
from edgetok_plugins.mc_moe.shards import Shards

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool)


def test_tensors_and_slabs_come_out_in_their_dtypes(tmp_path):
    tensors = {f"t{index}": torch.arange(24).reshape(2, 3, 4).to(dtype) for index, dtype in enumerate(DTYPES)}
    tensors["scalar"], tensors["empty"] = torch.tensor(3.0), torch.empty(0, 5)
    save_file(tensors, tmp_path / "model.safetensors")
    shards = Shards(tmp_path)
    assert set(shards) == set(tensors)
    for name, value in tensors.items():
        assert shards.read(name).dtype == value.dtype
        assert torch.equal(shards.read(name), value)
    assert torch.equal(shards.read("t2", 1), tensors["t2"][1])


def test_a_directory_without_weights_is_refused(tmp_path):
    with pytest.raises(BrokenWeights, match="no weights"):
        Shards(tmp_path)


def test_formats_that_are_quantised_already_are_refused(tmp_path):
    save_file({"w": torch.zeros(4, dtype=torch.float8_e4m3fn)}, tmp_path / "model.safetensors")
    with pytest.raises(UnsupportedModel, match="F8_E4M3"):
        Shards(tmp_path)


def test_a_file_cut_short_while_it_is_open_is_noticed(tmp_path):
    save_file({"w": torch.zeros(64)}, tmp_path / "model.safetensors")
    shards = Shards(tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(BrokenWeights, match="8 bytes are missing"):
        shards.read("w")


def write_header(file, entry):
    header = json.dumps({"w": entry}).encode()
    file.write_bytes(struct.pack("<Q", len(header)) + header)


@pytest.mark.parametrize("shape", [[10**30, 0], [0, 2**63], [2**32, 0, 2**32]])
def test_sizes_that_no_tensor_has_are_refused(tmp_path, shape):
    write_header(tmp_path / "model.safetensors", {"dtype": "U8", "shape": shape, "data_offsets": [0, 0]})
    with pytest.raises(BrokenWeights, match="inconsistent"):
        Shards(tmp_path)


@pytest.mark.parametrize("shape", [[0], [2**62, 0], [0, 2**31, 2**31]])
def test_whatever_passes_can_be_read(tmp_path, shape):
    write_header(tmp_path / "model.safetensors", {"dtype": "U8", "shape": shape, "data_offsets": [0, 0]})
    assert list(Shards(tmp_path).read("w").shape) == shape


def test_what_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(BrokenWeights, match="cannot be read"):
        Shards(tmp_path)
    with pytest.raises(BrokenWeights, match="cannot be read"):
        Shards.of([tmp_path / "layer-00000.safetensors"])


def test_a_file_that_went_away_is_noticed(tmp_path):
    save_file({"w": torch.zeros(64)}, tmp_path / "model.safetensors")
    shards = Shards(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(BrokenWeights, match="cannot be read"):
        shards.read("w")
