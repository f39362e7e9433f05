import hashlib

from edgetok.bundle.writing import list_files, sha256, write_manifest


def test_every_file_is_listed_hashed_and_has_its_role(tmp_path, fill):
    fill(tmp_path)
    files = {entry.path: entry for entry in list_files(tmp_path, {"model.onnx": "model", "data/model.bin": "weights"})}
    assert list(files) == ["data/model.bin", "model.onnx", "recipe.yaml"]
    assert [entry.role for entry in files.values()] == ["weights", "model", "recipe"]
    assert files["model.onnx"].sha256 == hashlib.sha256(b"graph").hexdigest() == sha256(tmp_path / "model.onnx")
    assert files["data/model.bin"].bytes == 1000


def test_the_same_manifest_gives_the_same_bytes(tmp_path, fill):
    manifest = fill(tmp_path)
    first = (tmp_path / "manifest.json").read_bytes()
    assert write_manifest(tmp_path, manifest).read_bytes() == first
