"""What is in the file: names, values, extra outputs, what the delegate took; and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgetok.errors import ExportFailed, RuntimeFailed
from edgetok.exporter import Runner
from edgetok.target import Realisations
from edgetok_exporters.executorch import ExecutorchExporter, Options


def test_the_file_computes_the_same_under_the_programs_names(made, decision):
    assert isinstance(made.runner, Runner)
    assert made.runner.input_names == ("pixels",)
    assert made.runner.output_names == ("out0", "out1", *made.exported.exposed[decision])
    found = made.outputs()
    for name, expected in zip(("out0", "out1"), made.expected(), strict=True):
        np.testing.assert_allclose(found[name], expected.numpy(), rtol=0, atol=1e-5)


def test_the_exposed_decision_is_the_references(made, decision):
    found = made.outputs()
    with torch.no_grad():
        embedded = torch.nn.functional.linear(
            made.program.example["pixels"],
            *(made.program.exported.state_dict[f"embed.{k}"] for k in ("weight", "bias")),
        )
    expected = torch.ops.edgetok.bipartite_match(embedded, None, 3, 1, "reference")
    for name, ids in zip(made.exported.exposed[decision], expected, strict=True):
        np.testing.assert_array_equal(found[name], ids.numpy())


def test_everything_is_in_one_delegate(made):
    """No cut: constants made in forward, casts, layer norm, mean, expand and squeeze would each be one."""
    delegation = made.exported.delegation
    assert delegation.delegate == "xnnpack"
    assert delegation.partitions == 1
    assert dict(delegation.outside) == {}
    assert delegation.inside > 40
    weights = sum(w.numel() * 4 for w in made.program.exported.state_dict.values())
    assert weights <= delegation.bytes <= made.exported.entry.stat().st_size


def test_files_are_listed_and_in_their_directory(made):
    assert [path.name for path in made.exported.files] == ["model.pte", "model.bpte"]
    assert sorted(made.exported.entry.parent.iterdir()) == sorted(made.exported.files)


def test_a_bundled_program_carries_a_test_that_passes(made):
    from executorch.extension.pybindings import portable_lib

    bundle = portable_lib._load_bundled_program_from_buffer(made.exported.files[1].read_bytes())
    bundle.verify_result_with_bundled_expected_output("forward", 0, 1e-4, 1e-4)
    with pytest.raises(RuntimeError):
        bundle.verify_result_with_bundled_expected_output("forward", 0, 0.0, 0.0)


def test_a_missing_kernel_is_found_at_export(make, tmp_path):
    """The wheel's runtime has no ``sort``: a phone would only say 0x14."""
    with pytest.raises(ExportFailed) as caught:
        make(delegate="", realisations=Realisations(match="sort", reduce="gather"))
    assert "sort" in caught.value.why
    assert "sort-free" in caught.value.hint


def test_portable_kernels_compute_the_same(make):
    made = make(delegate="")
    assert made.exported.delegation.partitions == made.exported.delegation.inside == 0
    assert made.exported.delegation.outside["native_layer_norm"] == 1
    np.testing.assert_allclose(made.outputs()["out0"], made.expected()[0].numpy(), rtol=0, atol=1e-5)


def test_refusals(program, target, tmp_path):
    exporter = ExecutorchExporter()
    with pytest.raises(ExportFailed, match="file name"):
        exporter.export(program, target, tmp_path, stem="../model")
    with pytest.raises(ExportFailed, match="does not know"):
        exporter.export(program, target.model_copy(update={"delegate": "abacus"}), tmp_path, options=Options(batch=2))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", [np.zeros((1, 15, 32), np.float32), np.zeros((2, 15, 32), np.float64)], ids=str)
def test_an_input_that_does_not_fit_is_refused_with_its_shape(made, wrong):
    with pytest.raises(RuntimeFailed, match="cannot take") as caught:
        made.runner({"pixels": wrong})
    assert "[2, 15, 32]" in caught.value.why
    with pytest.raises(RuntimeFailed):
        made.runner({"image": wrong})
