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
