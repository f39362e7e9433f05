"""Broken and foreign files are refused with what is wrong, before a native runtime sees them."""

from __future__ import annotations

from contextlib import suppress

import onnx
import pytest
import torch

from edgetok.errors import RuntimeFailed
from edgetok_exporters.onnx import OnnxExporter
from edgetok_exporters.onnx.header import read_metadata

FOREIGN = {
    "empty": b"",
    "zip": b"PK\x03\x04" + bytes(40),
    "JSON": b'{"format": "onnx"}' + bytes(20),
    "LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
    "protobuf": b"not a model, though it has some bytes",
    "without a graph": onnx.helper.make_tensor("t", onnx.TensorProto.FLOAT, [1], [1.0]).SerializeToString(),
}


class Linear(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(16, 16)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.layer(x),)


@pytest.fixture
def apart(capture, trip, tmp_path):
    """A file with its weights beside it, in a folder of its own."""
    trip.directory = tmp_path / "bundle"
    trip.directory.mkdir()
    trip(capture(Linear(), {"x": torch.randn(2, 16)}), external_data="always")
    return trip.exported


@pytest.fixture
def entry(capture, trip):
    trip(capture(lambda x: (x @ x,), {"x": torch.randn(2, 8, 8)}))
    return trip.exported.entry


def load(path):
    with pytest.raises(RuntimeFailed, match=path.name) as caught:
        OnnxExporter().load(path)
    assert caught.value.hint
    return caught.value.why


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_file_is_named(tmp_path, kind):
    path = tmp_path / "foreign.onnx"
    path.write_bytes(FOREIGN[kind])
    assert kind in load(path)


def test_an_absent_file_is_an_error(tmp_path):
    assert "No such file" in load(tmp_path / "absent.onnx")
    folder = tmp_path / "folder.onnx"
    folder.mkdir()
    assert "directory" in load(folder)


def test_a_file_may_end_anywhere(entry):
    """Wherever a copy broke off, it is an error and not half a model."""
    whole = entry.read_bytes()
    for end in range(1, len(whole), max(1, len(whole) // 23)):
        entry.write_bytes(whole[:end])
        assert load(entry)


def test_flipped_bytes_never_pass_unseen(entry):
    """Either an error of ours, or a file that still loads: never another exception."""
    whole = entry.read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 40)):
        entry.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with suppress(RuntimeFailed):
            OnnxExporter().load(entry)


def test_metadata_is_read_without_the_weights(entry):
    model = onnx.load(entry)
    for key, value in {"edgetok.delegate": "elsewhere", "edgetok.soc": "43", "note": "ö" * 300}.items():
        onnx.helper.set_model_props(model, {p.key: p.value for p in model.metadata_props} | {key: value})
    onnx.save(model, entry)
    assert read_metadata(entry) == {"edgetok.delegate": "elsewhere", "edgetok.soc": "43", "note": "ö" * 300}
    assert "elsewhere" in load(entry)


@pytest.mark.parametrize("outside", ["../secret.data", "{folder}/secret.data"])
def test_external_data_stays_beside_the_file(apart, tmp_path, outside):
    """A model may not make the runtime read files elsewhere."""
    (tmp_path / "secret.data").write_bytes(bytes(4096))
    model = onnx.load(apart.entry, load_external_data=False)
    tensors = [tensor for tensor in model.graph.initializer if tensor.external_data]
    assert tensors
    for tensor in tensors:
        next(pair for pair in tensor.external_data if pair.key == "location").value = outside.format(folder=tmp_path)
    onnx.save(model, apart.entry)
    assert load(apart.entry)


def test_external_data_that_is_gone_is_an_error(apart):
    apart.files[1].unlink()
    assert load(apart.entry)


def test_external_data_that_is_cut_short_is_an_error(apart):
    apart.files[1].write_bytes(apart.files[1].read_bytes()[:100])
    assert load(apart.entry)
