"""Safetensors files, whole and damaged."""

import json
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from edgetok.errors import BrokenWeights
from edgetok.sources.weight_files import read_header, weight_files


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    tensors = {"a": torch.ones(3, 4), "b": torch.zeros(5, dtype=torch.int64), "empty": torch.zeros(0, 3)}
    save_file(tensors, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def test_header_of_a_whole_file(weights: Path) -> None:
    assert {name: entry["shape"] for name, entry in read_header(weights).items()} == {
        "a": [3, 4],
        "b": [5],
        "empty": [0, 3],
    }
    assert weight_files(weights.parent) == [weights]


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10_000))
def test_every_truncation_is_noticed(weights: Path, cut: int) -> None:
    data = weights.read_bytes()
    short = weights.with_name("short.safetensors")
    short.write_bytes(data[: cut % len(data)])
    with pytest.raises(BrokenWeights):
        read_header(short)


def test_longer_file_is_noticed(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes() + b"x")
    with pytest.raises(BrokenWeights, match="longer"):
        read_header(weights)


def write(path: Path, header: object, data: bytes = bytes(8)) -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [2], "data_offsets": [0, 1 << 60]},
        {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]},
        {"dtype": "F99", "shape": [2], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]},
        {"dtype": "F32", "shape": "2", "data_offsets": [0, 8]},
        {"dtype": ["F32"], "shape": [2], "data_offsets": [0, 8]},
        {"shape": [2], "data_offsets": [0, 8]},
        [1, 2],
    ],
)
def test_malformed_entries(tmp_path: Path, entry: object) -> None:
    with pytest.raises(BrokenWeights):
        read_header(write(tmp_path / "model.safetensors", {"a": entry}))


@pytest.mark.parametrize("header", [[], "text", 3])
def test_header_that_is_no_table(tmp_path: Path, header: object) -> None:
    with pytest.raises(BrokenWeights):
        read_header(write(tmp_path / "model.safetensors", header))


def test_header_of_absurd_length(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", 1 << 62) + bytes(100))
    with pytest.raises(BrokenWeights, match="claims"):
        read_header(path)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "sub/x.safetensors", "weights.bin", 3])
def test_index_cannot_leave_its_directory(tmp_path: Path, name: object) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(BrokenWeights, match="outside"):
        weight_files(tmp_path)


def test_index_with_a_missing_shard(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "one.safetensors"}}))
    with pytest.raises(BrokenWeights, match="missing"):
        weight_files(tmp_path)
