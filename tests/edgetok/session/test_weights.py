from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch

from edgetok.errors import BadSchedule, NothingToRewrite, PluginFailed, RepairFailed, TagConflict
from edgetok.graph import capture, find_sites
from edgetok.model import Model
from edgetok.order import order
from edgetok.plan import make_plan
from edgetok.plugin import WeightPlugin
from edgetok.progress import Silent
from edgetok.session.clock import Clock
from edgetok.session.prepare import Prepared, Tools
from edgetok.session.weights import rewrite_weights, weight_plugin
from edgetok.testing import zoo
from edgetok.testing.trial import NOWHERE
from edgetok.weights import Place, Reweighted


class Halve(WeightPlugin):
    """Halves the weights of the classifier."""

    name: ClassVar[str] = "halve"
    summary: ClassVar[str] = "for tests"
    paper: ClassVar[str] = "none"

    fault: str = ""

    def places(self, component):
        found = [name for name, module in component.module.named_modules() if name.endswith("classifier")]
        return tuple(Place(name=name, plugin=self.name, what="half of it", refusal=None) for name in found)

    def calibration_samples(self):
        return 3

    def rewrite(self, model, component, inputs, scratch, progress):
        if self.fault == "coded":
            raise BadSchedule("a coded error")
        if self.fault == "uncoded":
            raise ZeroDivisionError("oh")
        assert scratch.is_dir()
        self.__dict__["seen"] = inputs
        if self.fault == "other":
            return Reweighted(zoo.bert(), self.places(component))
        state = {name: value.clone() for name, value in component.module.state_dict().items()}
        state["classifier.weight"] /= 2
        return Reweighted(replace(component, weights=lambda: state), self.places(component), ("halved",))


@pytest.fixture(scope="module")
def component():
    return zoo.vit()


@pytest.fixture
def prepared(component):
    def make(plugin):
        program = capture(component)
        sites = tuple(find_sites(program))
        plan = make_plan(program, sites, [plugin], NOWHERE, weights=plugin.places(component))
        tools = Tools(NOWHERE, SimpleNamespace(), SimpleNamespace(), (plugin,))
        model = Model("vit", "", {"model": component})
        return Prepared(SimpleNamespace(), tools, model, component, program, sites, plan)

    return make


def run(prepared, tmp_path):
    batch = {"pixel_values": np.zeros((2, 3, 40, 40), np.float64)}
    return rewrite_weights(prepared, (batch, batch), "on two batches", Path(tmp_path), Clock(Silent()))


def test_the_new_component_is_captured_with_its_weights(prepared, tmp_path, component):
    before = prepared(plugin := Halve())
    after = run(before, tmp_path)
    assert after.done.notes == ("halved",)
    assert after.how == "on two batches"
    assert [site.name for site in after.prepared.sites] == [site.name for site in before.sites]
    state, old = after.prepared.program.exported.state_dict, before.program.exported.state_dict
    assert torch.equal(state["classifier.weight"], old["classifier.weight"] / 2)
    assert torch.equal(component.module.classifier.weight, old["classifier.weight"])
    assert plugin.__dict__["seen"]["pixel_values"].shape == (4, 3, 40, 40)
    assert plugin.__dict__["seen"]["pixel_values"].dtype == torch.float32


def test_without_such_a_plugin_nothing_happens(prepared, tmp_path):
    made = prepared(Halve())
    alone = replace(made, tools=replace(made.tools, plugins=()))
    assert weight_plugin(alone) is None
    assert run(alone, tmp_path) is None


def test_places_are_in_the_plan_and_printed(prepared):
    plan = prepared(Halve()).plan
    assert [place.name for place in plan.weights] == ["classifier"]
    assert "classifier  halve  half of it" in str(plan)


@pytest.mark.parametrize(
    ("fault", "error"), [("coded", BadSchedule), ("uncoded", PluginFailed), ("other", RepairFailed)]
)
def test_faults_say_whose_they_are(prepared, tmp_path, fault, error):
    with pytest.raises(error, match=r"coded|halve|attentions"):
        run(prepared(Halve(fault=fault)), tmp_path)


@pytest.mark.parametrize(
    ("places", "reason"),
    [((), "no weights of its kind"), ((Place(name="a", plugin="halve", refusal="too big"),), "too big")],
)
def test_a_plan_without_places_is_an_error(component, places, reason):
    with pytest.raises(NothingToRewrite) as caught:
        make_plan(capture(component), (), [Halve()], NOWHERE, weights=places)
    assert reason in caught.value.why


def test_two_of_them_do_not_go_together():
    class Other(Halve):
        name: ClassVar[str] = "other"

    with pytest.raises(TagConflict):
        order([Halve(), Other()])
