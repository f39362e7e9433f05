from dataclasses import replace

import pytest
import torch

from edgetok.graph import capture
from edgetok.model import Component
from edgetok.progress import Silent
from edgetok.recipe_file import make_recipe
from edgetok.session.clock import Clock
from edgetok.session.interface import arithmetic_of, batched, delivered, dtype_of, fixed_batch
from edgetok.session.prepare import find_tools, prepare


@pytest.fixture(scope="module")
def prepared():
    recipe = make_recipe({"model": "edgetok.testing.zoo:bert", "plugins": "tome:r=2"})
    return prepare(recipe, find_tools(recipe), None, Clock(Silent()))


@pytest.fixture
def with_options(prepared):
    def make(**options):
        tools = find_tools(make_recipe({"model": "m", "exporter": options}))
        return replace(prepared, tools=tools)

    return make


def shapes(specs):
    return [(spec.dtype, spec.shape) for spec in specs]


def test_a_plain_file_is_the_program(prepared):
    assert delivered(prepared, prepared.program.inputs) == prepared.program.inputs
    assert (fixed_batch(prepared), dtype_of(prepared)) == (None, "fp32")


def test_a_batch_of_one_size(with_options):
    prepared = with_options(batch=3)
    assert fixed_batch(prepared) == 3
    assert shapes(delivered(prepared, prepared.program.inputs)) == [("int64", (3, 24)), ("int64", (3, 24))]
    assert delivered(prepared, prepared.program.outputs)[0].shape == (3, 24, 32)


def test_rounded_inputs_are_int8_where_weights_are_packed(prepared, with_options):
    options = {"packed_activations": "int8"}
    assert arithmetic_of(with_options(**options)) == "fp32"
    packing = find_tools(make_recipe({"model": "m", "plugins": "mc-moe", "exporter": options}))
    assert arithmetic_of(replace(prepared, tools=packing)) == "int8"
    assert arithmetic_of(replace(prepared, tools=replace(packing, options=prepared.tools.options))) == "fp32"


def test_a_target_that_rounds_nothing_computes_in_floats(prepared):
    recipe = {"model": "m", "plugins": "mc-moe", "target": "onnx-web", "exporter": {"packed_activations": "int8"}}
    web = find_tools(make_recipe(recipe), checked=False)
    assert arithmetic_of(replace(prepared, tools=web)) == "fp32"


def test_half_precision_outside_too_only_where_asked_for(with_options):
    inner, outer = with_options(dtype="fp16"), with_options(dtype="fp16", io="same")
    assert dtype_of(inner) == dtype_of(outer) == "fp16"
    assert {s.dtype for s in delivered(inner, inner.program.outputs)} == {"float32"}
    assert {s.dtype for s in delivered(outer, outer.program.outputs)} == {"float16"}
    assert {s.dtype for s in delivered(outer, outer.program.inputs)} == {"int64"}


class Two(torch.nn.Module):
    def forward(self, x, y):
        return x.sum() * y


@pytest.mark.parametrize(("dynamic", "rows"), [({"y": {0: "batch"}}, {"y"}), ({}, {"x"})])
def test_which_inputs_have_samples(prepared, dynamic, rows):
    program = capture(Component("two", Two(), {"x": torch.ones(2, 3), "y": torch.ones(4)}, dynamic))
    assert batched(program) == rows
    assert fixed_batch(replace(prepared, program=program)) == (None if dynamic else 2)
