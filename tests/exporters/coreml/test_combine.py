from __future__ import annotations

import numpy as np
import pytest

from edgetok.errors import ExportFailed
from edgetok.testing import zoo
from edgetok.testing.trial import run, subject
from edgetok.verify.mil import MilRunner
from edgetok.verify.mil.package import open_package
from edgetok.verify.mil.program import functions_of
from edgetok_exporters.coreml.combine import combine


@pytest.fixture(scope="module")
def budgets(merged, target, package):
    """The encoder with all tokens, and with fewer."""
    programs = {"all_tokens": subject(zoo.short_encoder).dense, "fewer": merged("short_encoder")}
    return {name: (made, package(made, target("coreml-gpu")).entry) for name, made in programs.items()}


def test_budgets_share_weights_and_keep_their_values(budgets, tmp_path):
    files = combine({name: entry for name, (_, entry) in budgets.items()}, tmp_path / "both.mlpackage")
    assert functions_of(open_package(files[0])) == ("all_tokens", "fewer")
    for name, (program, _) in budgets.items():
        inputs = {key: value[:1] for key, value in program.example.items()}
        found = MilRunner(files[0], function=name)({key: value.numpy() for key, value in inputs.items()})
        for spec, want in zip(program.outputs, run(program, inputs), strict=True):
            np.testing.assert_allclose(found[spec.name], want.numpy(), rtol=1e-4, atol=1e-5)
    sizes = [sum(p.stat().st_size for p in entry.rglob("weight.bin")) for _, entry in budgets.values()]
    assert next(p for p in files if p.name == "weight.bin").stat().st_size < 0.7 * sum(sizes)


def test_what_is_there_is_not_replaced(budgets, tmp_path):
    (tmp_path / "out.mlpackage").mkdir()
    with pytest.raises(ExportFailed, match=r"out\.mlpackage"):
        combine({name: entry for name, (_, entry) in budgets.items()}, tmp_path / "out.mlpackage")
    with pytest.raises(ExportFailed, match="combine"):
        combine({}, tmp_path / "new.mlpackage")
