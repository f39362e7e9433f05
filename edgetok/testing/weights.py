"""The conformance kit for WEIGHTS plugins: subclass, state an instance, run pytest."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from edgetok.errors import NothingToRewrite
from edgetok.graph import capture
from edgetok.plan import make_plan
from edgetok.progress import Silent
from edgetok.sources.huggingface import load_directory
from edgetok.testing import zoo
from edgetok.testing.declaration import DeclarationChecks
from edgetok.testing.trial import NOWHERE

if TYPE_CHECKING:
    from torch import Tensor

    from edgetok.graph import Program
    from edgetok.model import Model
    from edgetok.plugin import WeightPlugin
    from edgetok.weights import Reweighted

SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


@dataclass(frozen=True)
class Trial:
    """A plugin's work on one model."""

    model: Model
    before: Program
    after: Program
    done: Reweighted


class WeightConformance(DeclarationChecks):
    """Every promise of a WEIGHTS plugin, checked on a small mixture-of-experts language model.

    Attributes:
        plugin: an instance.
        snr_db: the least signal-to-noise ratio of the logits with new weights to those with the old ones, in dB, on
            random weights.
    """

    plugin: WeightPlugin
    snr_db: float

    def test_places_are_modules_and_need_no_weights(self) -> None:
        """Places are named while parameters are fake, by paths of the model, each once."""
        component = language_model().only
        names = [place.name for place in self.plugin.places(component)]
        assert names, "no place was found"
        assert len(set(names)) == len(names)
        assert set(names) <= {name for name, _ in component.module.named_modules()}
        assert all(place.plugin == self.plugin.name for place in self.plugin.places(component))

    def test_a_model_without_places_is_an_error(self) -> None:
        """On a model that has nothing of its kind, the plan says that there is nothing to do."""
        component = zoo.vit()
        places = self.plugin.places(component)
        assert all(place.refusal for place in places), "a ViT has no weights of this kind"
        with pytest.raises(NothingToRewrite):
            make_plan(capture(component), (), [self.plugin], NOWHERE, weights=places)

    def test_new_weights_are_fewer_bytes_and_near(self) -> None:
        """What is left is smaller than float32, and the logits are nearly the same, and not exactly."""
        trial = self._trial()
        old, new = (_bytes(program) for program in (trial.before, trial.after))
        assert new < old, f"{new} bytes, {old} before"
        before, after = (_logits(program) for program in (trial.before, trial.after))
        noise = (after - before).square().sum()
        snr = float(10 * torch.log10(before.square().sum() / noise.clamp(min=1e-30)))
        assert self.snr_db <= snr < 120, f"logits are at {snr:.1f} dB"

    def test_interface_stays(self) -> None:
        """Names, shapes and dtypes of inputs and outputs are what they were."""
        trial = self._trial()
        assert trial.after.inputs == trial.before.inputs
        assert trial.after.outputs == trial.before.outputs

    def test_every_place_is_in_the_trace(self) -> None:
        """What was done names the places that were planned."""
        trial = self._trial()
        planned = {place.name for place in self.plugin.places(trial.model.only)}
        assert {place.name for place in trial.done.places} == planned
        assert all(place.what or place.refusal for place in trial.done.places)

    def test_the_component_is_left_alone(self) -> None:
        """The component that went in computes what it did before."""
        trial = self._trial()
        assert trial.done.component is not trial.model.only
        again = with_weights(trial.model.only, capture(trial.model.only))
        assert torch.equal(_logits(again), _logits(trial.before))

    def test_it_is_deterministic(self) -> None:
        """The same options, model and samples give the same weights."""
        first, second = self._trial().after, rewritten(self.plugin, language_model())[1]
        for name, value in first.exported.state_dict.items():
            assert torch.equal(value, second.exported.state_dict[name]), name

    def _trial(self) -> Trial:
        return _trial(self.plugin)


@cache
def language_model() -> Model:
    """A small OLMoE with random weights, read from a directory as users' models are."""
    transformers = pytest.importorskip("transformers", reason="the model is one of transformers")
    module = transformers.OlmoeForCausalLM(transformers.OlmoeConfig(**SIZES))
    folder = tempfile.TemporaryDirectory(prefix="edgetok-kit-")
    _FOLDERS.append(folder)
    zoo.seeded(module)
    module.save_pretrained(folder.name)
    return load_directory(Path(folder.name), source=folder.name)


_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []


@cache
def _trial(plugin: WeightPlugin) -> Trial:
    model = language_model()
    before = with_weights(model.only, capture(model.only))
    done, after = rewritten(plugin, model)
    return Trial(model, before, after, done)


def rewritten(plugin: WeightPlugin, model: Model) -> tuple[Reweighted, Program]:
    """What a plugin makes of the model, and its program with weights."""
    made = torch.Generator().manual_seed(0)
    inputs = {
        name: torch.randint(0, SIZES["vocab_size"], (8, *example.shape[1:]), generator=made)
        for name, example in model.only.inputs.items()
    }
    with tempfile.TemporaryDirectory(prefix="edgetok-kit-") as scratch:
        done = plugin.rewrite(model, model.only, inputs, Path(scratch), Silent())
        return done, with_weights(done.component, capture(done.component))


def with_weights(component: Any, program: Program) -> Program:
    """The program with the component's weights."""
    if component.weights is None:
        return program
    given = component.weights()
    return program.with_state({name: given[name] for name in program.exported.state_dict})


def _bytes(program: Program) -> int:
    tensors: dict[str, Tensor] = program.exported.state_dict
    return sum(value.nbytes for value in tensors.values())


def _logits(program: Program) -> Tensor:
    from edgetok.testing.trial import run

    example = {name: torch.as_tensor(value) for name, value in program.example.items()}
    return run(program, example)[0]
