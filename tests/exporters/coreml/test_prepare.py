"""The front end's traps: each of these stopped coremltools, or made it compute something else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgetok.errors import ExportFailed
from edgetok.verify.mil import MilRunner

X = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
IDS = torch.tensor([[0, 4, 2], [3, 3, 1]])


def runs(program, target, package, function, inputs, **options):
    """A function of tensors through a package; returns the package's outputs and torch's."""
    made = program(function, inputs)
    exported = package(made, target("coreml-gpu"), batch=next(iter(inputs.values())).shape[0], **options)
    found = MilRunner(exported.entry)({name: value.numpy() for name, value in inputs.items()})
    return list(found.values()), function(**inputs)


FUNCTIONS = {
    "vector-product": lambda x: (x @ torch.arange(5.0), x.unsqueeze(0) @ x[0]),
    "where-scalar": lambda x: (torch.where(x > 0, x, 0.5),),
    "new-ones": lambda x: (x + x.new_ones(5), torch.ones_like(x) * x),
    "constants": lambda x: (x + torch.arange(5.0), x @ torch.ones(5, 5).tril()),
    "alias": lambda x: (x.detach().clone() * 2,),
    "returned-twice": lambda x: ((x + 1), (x + 1).clone()),
    "reciprocal": lambda x: (1 / (x.abs() + 0.01), 1 / x.abs().sum()),
    "masked": lambda x: (x.masked_fill(x > 0, -1.0),),
    "rsub": lambda x: (1 - x, 2 / (x.abs() + 1)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_converts(name, program, target, package):
    found, want = runs(program, target, package, FUNCTIONS[name], {"x": X})
    for value, reference in zip(found, want, strict=True):
        np.testing.assert_allclose(value, reference.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["clamp", "clamp_min", "clamp_max"])
def test_clamped_integers_still_index(name, program, target, package):
    bounds = {"clamp": (1, 3), "clamp_min": (1,), "clamp_max": (3,)}[name]
    found, want = runs(
        program,
        target,
        package,
        lambda x, ids: (x.gather(1, getattr(ids, name)(*bounds)),),
        {"x": X, "ids": IDS},
    )
    np.testing.assert_array_equal(found[0], want[0].numpy())


@pytest.mark.parametrize("kind", ["integers", "truth values"])
def test_a_running_count_still_indexes(kind, program, target, package):
    """``gather`` by a cumulative sum: an index that becomes floating on the way is refused by coremltools."""
    counted = (lambda ids: ids.cumsum(1)) if kind == "integers" else (lambda ids: (ids > 0).cumsum(1))
    inputs = {"x": X, "ids": torch.tensor([[0, 1, 1], [1, 1, 1]])}
    found, want = runs(program, target, package, lambda x, ids: (x.gather(1, counted(ids)),), inputs)
    np.testing.assert_array_equal(found[0], want[0].numpy())


REFUSED = {
    "scatter_reduce": lambda x, ids: (x.scatter_reduce(1, ids, x[:, :3], "amax"),),
    "index_reduce": lambda x, ids: (x.index_reduce(1, ids[0], x[:, :3], "amax"),),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_operation_without_a_form_is_named_before_conversion(name, program, target, package, monkeypatch):
    import coremltools

    monkeypatch.setattr(coremltools, "convert", lambda *_, **__: pytest.fail("conversion was started"))
    made = program(REFUSED[name], {"x": X, "ids": IDS})
    with pytest.raises(ExportFailed, match=name) as caught:
        package(made, target("coreml-gpu"), batch=2)
    assert "one-hot" in caught.value.hint


def test_added_rows_are_right_or_refused(program, target, package):
    """``index_add`` with the same row twice: what coremltools 9 had no form of."""
    ids = torch.tensor([[1, 3, 1]])
    found, want = runs(
        program, target, package, lambda x, ids: (x.T.index_add(0, ids[0], x.T[:3]),), {"x": X[:1], "ids": ids}
    )
    np.testing.assert_allclose(found[0], want[0].numpy(), rtol=1e-6)


def test_truth_values_are_refused_as_inputs(program, target, package):
    made = program(lambda x, m: (torch.where(m, x, -x),), {"x": X, "m": X > 0})
    with pytest.raises(ExportFailed, match="truth values"):
        package(made, target("coreml-gpu"), batch=2)
