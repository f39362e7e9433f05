import json
import os

import pytest

from edgetok.bundle import read_bundle
from edgetok.errors import BundleNotFound


@pytest.fixture
def bundle(tmp_path, fill):
    path = tmp_path / "bundle"
    path.mkdir()
    fill(path)
    return path


def refuse(path, says):
    with pytest.raises(BundleNotFound) as error:
        read_bundle(path)
    assert says in str(error.value)


def test_a_whole_bundle_is_read(bundle):
    read = read_bundle(bundle)
    assert read.entry("model").read_bytes() == b"graph"
    assert read.recipe.is_file()
    assert read.report == bundle / "report.json"


def test_no_directory_and_no_manifest(tmp_path):
    refuse(tmp_path / "none", "there is no such directory")
    refuse(tmp_path, "it has no manifest.json")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda b: (b / "model.onnx").write_bytes(b"grapX"), "model.onnx has sha256"),
        (lambda b: (b / "model.onnx").write_bytes(b"g"), "model.onnx has 1 bytes, not 5"),
        (lambda b: (b / "data" / "model.bin").unlink(), "data/model.bin: No such file"),
        (lambda b: (b / "manifest.json").write_text("{"), "manifest.json: whole"),
        (lambda b: (b / "manifest.json").write_bytes(b"\xff"), "manifest.json: whole"),
    ],
)
def test_damage_is_told(bundle, damage, says):
    damage(bundle)
    refuse(bundle, says)


def test_links_are_refused_wherever_they_lead(bundle, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"graph")
    (bundle / "model.onnx").unlink()
    (bundle / "model.onnx").symlink_to(secret)
    refuse(bundle, "model.onnx is a link")


def test_a_linked_folder_is_refused(bundle, tmp_path):
    (bundle / "data").rename(tmp_path / "elsewhere")
    (bundle / "data").symlink_to(tmp_path / "elsewhere")
    refuse(bundle, "data is a link")


def test_a_linked_manifest_is_refused(bundle, tmp_path):
    (bundle / "manifest.json").rename(tmp_path / "m.json")
    (bundle / "manifest.json").symlink_to(tmp_path / "m.json")
    refuse(bundle, "manifest.json is a link")


def test_a_pipe_is_refused_without_waiting_on_it(bundle):
    (bundle / "model.onnx").unlink()
    os.mkfifo(bundle / "model.onnx")
    refuse(bundle, "no regular file")


def test_a_manifest_that_points_outside_is_refused(bundle, tmp_path):
    (tmp_path / "secret").write_bytes(b"graph")
    path = bundle / "manifest.json"
    data = json.loads(path.read_text())
    data["files"][1]["path"] = "../secret"
    path.write_text(json.dumps(data))
    refuse(bundle, "plain relative path")
