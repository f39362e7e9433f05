import zipfile

import numpy as np
import pytest
import torch

from edgetok.errors import RuntimeFailed, TargetRefuses
from edgetok.precision import Precision
from edgetok.registry import installed
from edgetok.testing import zoo
from edgetok.testing.reductions import Merge
from edgetok.testing.trial import Trial, subject
from edgetok_exporters.pt2 import Options, Pt2Exporter

TARGET = installed().target("cpu")


@pytest.fixture(scope="module")
def program():
    return Trial(Merge(), subject(zoo.transformer_encoder)).optimised


def test_one_batch_size_where_it_is_asked_for(program, tmp_path):
    made = Pt2Exporter().export(program, TARGET, tmp_path, options=Options(batch=1))
    runner = Pt2Exporter().load(made.entry)
    arrays = {name: tensor.numpy() for name, tensor in program.example.items()}
    found = runner({name: array[:1] for name, array in arrays.items()})
    assert [found[spec.name].shape[0] for spec in program.outputs] == [1] * len(program.outputs)
    with pytest.raises(RuntimeFailed, match="cannot run"):
        runner(arrays)


def test_the_file_needs_no_edgetok(program, tmp_path):
    made = Pt2Exporter().export(program, TARGET, tmp_path)
    with zipfile.ZipFile(made.entry) as archive:
        assert not [n for n in archive.namelist() if n.endswith(".json") and b"torch.ops.edgetok" in archive.read(n)]


def test_quantisation_is_refused(program, tmp_path):
    from dataclasses import replace

    with pytest.raises(TargetRefuses, match="does not quantise"):
        Pt2Exporter().export(replace(program, precision=Precision("int8-dynamic", {})), TARGET, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["empty", "truncated", "pickle", "missing"])
def test_a_damaged_or_foreign_file_is_an_error(program, tmp_path, damage):
    entry = tmp_path / "model.pt2"
    if damage == "truncated":
        whole = Pt2Exporter().export(program, TARGET, tmp_path).entry.read_bytes()
        entry.write_bytes(whole[: len(whole) // 2])
    elif damage == "pickle":
        torch.save({"x": torch.zeros(1)}, entry)
    elif damage == "empty":
        entry.write_bytes(b"")
    with pytest.raises(RuntimeFailed, match=r"cannot load model\.pt2"):
        Pt2Exporter().load(entry)


def test_wrong_inputs_are_named(program, tmp_path):
    runner = Pt2Exporter().load(Pt2Exporter().export(program, TARGET, tmp_path).entry)
    with pytest.raises(RuntimeFailed, match="given: y"):
        runner({"y": np.zeros(1)})
