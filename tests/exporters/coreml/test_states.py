"""A cache that stays in the package: step by step what the program computes that passes it in and out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgetok.errors import ExportFailed, TargetRefuses
from edgetok.exporter import check_names
from edgetok.recipe_file import make_recipe
from edgetok.session import optimize, verify_bundle
from edgetok.testing.trial import run
from edgetok.verify.mil import MilRunner, open_package
from edgetok_exporters.coreml import Options

LENGTH = 5
PAIRS = (("past_keys", "keys"), ("past_values", "values"))


class Step(nn.Module):
    """One step of a decoder: a token at ``position`` attends to those before it, whose keys and values it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.attend, self.out = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x: Tensor, past_keys: Tensor, position: Tensor, past_values: Tensor) -> tuple[Tensor, ...]:
        query, key, value = self.attend(x).chunk(3, -1)
        slots = torch.arange(LENGTH)
        here = (slots == position).to(x.dtype).unsqueeze(-1)
        keys, values = past_keys * (1 - here) + key * here, past_values * (1 - here) + value * here
        scores = query @ keys.transpose(1, 2) + torch.where(slots <= position, 0.0, -1e4).unsqueeze(1)
        return keys, self.out(scores.softmax(-1) @ values), values


@pytest.fixture(scope="module")
def decoder(program):
    torch.manual_seed(0)
    cache = torch.zeros(1, LENGTH, 8)
    inputs = {"x": torch.randn(1, 1, 8), "past_keys": cache, "position": torch.tensor([[0]]), "past_values": cache}
    made = program(Step(), inputs)
    names = ("keys", "y", "values")
    named = (replace(spec, name=name) for spec, name in zip(made.outputs, names, strict=True))
    return replace(made, outputs=tuple(named))


@pytest.fixture(scope="module")
def stateful(decoder, target, package):
    return package(decoder, target(), states=PAIRS).entry


def test_pairs_are_neither_inputs_nor_outputs(stateful):
    description = open_package(stateful).spec.description
    assert [item.name for item in description.input] == ["x", "position"]
    assert [item.name for item in description.output] == ["y"]
    assert sorted(item.name for item in description.state) == ["past_keys", "past_values"]


def test_a_call_computes_what_the_program_does(stateful, decoder):
    """Verified as the function that it was made of."""
    generator = torch.Generator().manual_seed(1)
    cache = {name: torch.randn(1, LENGTH, 8, generator=generator) for name, _ in PAIRS}
    inputs = {"x": torch.randn(1, 1, 8, generator=generator), "position": torch.tensor([[3]]), **cache}
    runner = MilRunner(stateful)
    check_names("m", runner.input_names, inputs)
    found = runner({name: value.numpy() for name, value in inputs.items()})
    for spec, want in zip(decoder.outputs, run(decoder, inputs), strict=True):
        np.testing.assert_allclose(found[spec.name], want.numpy(), rtol=1e-2, atol=1e-2)
        assert np.abs(want.numpy()).max() > 0.1


def test_steps_without_a_cache_are_steps_with_it(stateful, decoder):
    runner, keys, values = MilRunner(stateful), torch.zeros(1, LENGTH, 8), torch.zeros(1, LENGTH, 8)
    for place in range(LENGTH):
        x = torch.randn(1, 1, 8, generator=torch.Generator().manual_seed(place))
        inputs = {"x": x, "position": torch.tensor([[place]])}
        found = runner({name: value.numpy() for name, value in inputs.items()})
        keys, wanted, values = run(decoder, {**inputs, "past_keys": keys, "past_values": values})
        np.testing.assert_allclose(found["y"], wanted.numpy(), rtol=2e-2, atol=1e-2)
        np.testing.assert_allclose(found["keys"], keys.numpy(), rtol=1e-2, atol=1e-2)


def step_of_a_decoder():
    """A factory, as a recipe names it."""
    torch.manual_seed(0)
    x, cache = torch.randn(1, 1, 8), torch.randn(1, LENGTH, 8)
    return Step(), {"x": x, "past_keys": cache, "position": torch.tensor([[2]]), "past_values": cache}


@pytest.mark.exhaustive
def test_a_bundle_with_states_is_verified_and_its_manifest_names_them(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    recipe = {"model": "test_states:step_of_a_decoder", "plugins": "quantize:weights=int8", "target": "coreml"}
    states = "past_keys:output_0,past_values:output_2"
    made = optimize(make_recipe({**recipe, "exporter": {"states": states}, "output": str(tmp_path / "out")}))
    (component,) = made.bundle.manifest.components
    assert component.states == {"past_keys": "output_0", "past_values": "output_2"}
    assert verify_bundle(tmp_path / "out").parity_when_made


def test_pairs_are_written_as_text():
    assert Options(states="a:b,c:d").states == (("a", "b"), ("c", "d"))
    with pytest.raises(ValueError, match="states"):
        Options(states="a")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"minimum_deployment": "iOS17"}, "iOS 17 knows no states"),
        ({"dtype": "fp32"}, "states are fp16"),
        ({"batches": (2,), "dtype": "fp16"}, "batches would be functions"),
    ],
)
def test_options_that_do_not_go_with_states_are_refused(decoder, target, package, options, said):
    with pytest.raises(TargetRefuses) as refused:
        package(decoder, target("coreml-gpu"), states=PAIRS, **options)
    assert said in refused.value.why
    assert refused.value.hint


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ((("past_key", "keys"),), "Did you mean 'past_keys'"),
        ((("past_keys", "nothing"),), "input:output"),
        ((("past_keys", "y"),), "same shape"),
        ((("position", "keys"),), "floating"),
        ((("past_keys", "keys"), ("past_values", "keys")), "in one pair"),
    ],
)
def test_what_is_no_pair_is_refused(decoder, target, package, pairs, said):
    with pytest.raises(ExportFailed) as refused:
        package(decoder, target(), states=pairs)
    assert said in refused.value.hint
