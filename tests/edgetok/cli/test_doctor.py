import json
import sys
from importlib import import_module

import pytest

from edgetok.doctor import Diagnosis, Package, TargetHealth
from edgetok.registry import installed

COMMAND = import_module("edgetok.cli.doctor")


@pytest.fixture(scope="module")
def diagnosis(process):
    """What the command says of this machine: it really imports every target's packages, so it is asked once."""
    done = process("doctor", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_doctor_knows_this_machine(diagnosis):
    assert diagnosis["python"].startswith(".".join(map(str, sys.version_info[:3])))
    packages = {package["name"]: package for package in diagnosis["packages"]}
    assert packages["torch"]["version"]
    assert packages["onnxruntime"]["extra"] == "onnx"
    assert [target["name"] for target in diagnosis["targets"]] == list(installed().targets)


def test_doctor_reads_well(diagnosis, monkeypatch, capsys):
    packages = tuple(Package(**package) for package in diagnosis["packages"])
    targets = tuple(TargetHealth(**target) for target in diagnosis["targets"])
    rest = {name: diagnosis[name] for name in ("python", "platform", "cpus")}
    found = Diagnosis(**rest, packages=packages, targets=targets)
    monkeypatch.setattr(COMMAND, "examine", lambda registry: found)
    COMMAND.doctor()
    out = capsys.readouterr().out
    for word in ("python", "pluggy", "edgetok[onnx]", "exports here", "onnx-cpu"):
        assert word in out
