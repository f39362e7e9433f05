import json
import shutil


def test_a_whole_bundle_passes(bundle, workshop):
    done = workshop("verify", "out", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outputs"][0]["name"] == "logits"
    assert "sha256 of every file" in workshop("verify", "out").stdout


def test_a_changed_file_does_not(bundle, workshop):
    damaged = workshop.folder / "damaged"
    shutil.copytree(workshop.folder / "out", damaged)
    model = next(damaged.glob("*.onnx"))
    data = model.read_bytes()
    model.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    done = workshop("verify", "damaged")
    shutil.rmtree(damaged)
    assert done.returncode == 3
    assert done.stderr.startswith("ET114: ") or "\nET114: " in done.stderr
    assert "has sha256" in done.stderr


def test_what_is_no_bundle(workshop):
    done = workshop("verify", "nowhere", "--quiet")
    assert (done.returncode, done.stderr[:6]) == (3, "ET114:")
