import json
import sys


def test_doctor_knows_this_machine(edgetok):
    done = edgetok("doctor", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["python"].startswith(".".join(map(str, sys.version_info[:3])))
    packages = {package["name"]: package for package in found["packages"]}
    assert packages["torch"]["version"]
    assert packages["onnxruntime"]["extra"] == "onnx"
    assert {target["name"] for target in found["targets"]} >= {"onnx-cpu"}


def test_doctor_reads_well(edgetok):
    out = edgetok("doctor").stdout
    for word in ("python", "pluggy", "edgetok[onnx]", "exports here", "onnx-cpu"):
        assert word in out
