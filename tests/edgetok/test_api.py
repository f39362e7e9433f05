import copy
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
import torch

import edgetok
from edgetok.errors import BadInputs, BadOption, BadRecipe, EdgetokError, NothingToRewrite, UnknownPlugin
from edgetok.model import Model
from edgetok.testing import zoo
from edgetok_plugins.tome import ToMe

QUICK = {"bench": {"enabled": False}, "parity": {"samples": 2}}


@pytest.fixture(scope="module")
def module():
    return zoo.transformer_encoder().module


@pytest.fixture(scope="module")
def inputs():
    return zoo.features()["x"]


@pytest.mark.parametrize(
    "plugins",
    ["tome:r=4", ["tome:r=4"], ToMe(r=4), [ToMe(r=4)], {"tome": {"r": 4}}, ("tome:r=4",)],
    ids=["text", "texts", "object", "objects", "mapping", "tuple"],
)
def test_plugins_are_given_in_many_forms(module, inputs, plugins):
    result = edgetok.optimize(module, inputs, plugins=plugins, dry_run=True)
    assert result.plan.tokens == (24, 20, 16, 12)
    assert result.recipe.plugins[0].options["r"] == 4
    assert (result.bundle, result.report) == (None, None)


def test_no_plugin_is_the_dense_model(module, inputs):
    assert edgetok.optimize(module, inputs, dry_run=True).plan.decisions == ()


@pytest.fixture(scope="module")
def digest(module, inputs):
    return edgetok.optimize(module, inputs, plugins="tome:r=4", dry_run=True).plan.digest


@pytest.mark.parametrize("given", ["list", "mapping", "batch of one"])
def test_inputs_are_given_in_many_forms(module, inputs, digest, given):
    forms = {"list": [inputs], "mapping": {"x": inputs}, "batch of one": inputs[:1]}
    assert edgetok.optimize(module, forms[given], plugins="tome:r=4", dry_run=True).plan.digest == digest


def test_a_delivered_module_is_left_as_it_was(module, inputs, tmp_path):
    mine = copy.deepcopy(module).train()
    for parameter in mine.parameters():
        parameter.requires_grad_(True)
    before = {name: tensor.clone() for name, tensor in mine.state_dict().items()}
    state = torch.random.get_rng_state()
    result = edgetok.optimize(mine, inputs, plugins="tome:r=4", target="onnx", output=tmp_path / "out", **QUICK)
    assert result.bundle.path == tmp_path / "out"
    assert result.report.parity.passed
    assert result.report.tokens.per_layer == (24, 20, 16, 12)
    assert all(torch.equal(before[name], tensor) for name, tensor in mine.state_dict().items())
    assert all(part.training for part in mine.modules())
    assert all(parameter.requires_grad for parameter in mine.parameters())
    assert torch.equal(state, torch.random.get_rng_state())
    assert any("given in memory" in note for note in result.report.notes)


def test_it_works_outside_the_main_thread(module, inputs):
    found = []
    run = lambda: found.append(edgetok.optimize(module, inputs, plugins="tome:r=4", dry_run=True))  # noqa: E731
    worker = threading.Thread(target=run)
    worker.start()
    worker.join()
    assert found[0].plan.tokens == (24, 20, 16, 12)


@pytest.mark.parametrize(
    ("arguments", "settings", "error"),
    [
        ((), {"plugins": "tmoe"}, UnknownPlugin),
        ((), {"plugins": "tome:r=-1"}, BadOption),
        ((), {"plugins": ["tome:r=1", "tome:r=2"]}, BadRecipe),
        ((), {"plugins": [ToMe(r=1), "tome:r=2"]}, BadRecipe),
        ((), {"bench": {"thread": 1}}, BadRecipe),
        ((), {"plugins": "tome:r=4", "plan_digest": "00"}, EdgetokError),
        ((), {"exporter": {"opset": 1}}, BadOption),
    ],
)
def test_mistakes_have_codes(module, inputs, tmp_path, arguments, settings, error):
    with pytest.raises(error) as caught:
        edgetok.optimize(module, inputs, output=tmp_path / "out", **settings)
    assert caught.value.code != "ET000"
    assert list(tmp_path.iterdir()) == []


def test_a_module_needs_inputs_and_a_reference_has_its_own(module, inputs):
    with pytest.raises(BadInputs, match="without example inputs"):
        edgetok.optimize(module)
    with pytest.raises(BadInputs, match="has its own"):
        edgetok.optimize("sample:vit_digits", inputs)


def test_a_model_of_two_components_is_refused(inputs):
    component = zoo.transformer_encoder()
    model = Model("two", "", {"a": component, "b": replace(component, name="b")})
    with pytest.raises(EdgetokError, match="has 2 components: a, b"):
        edgetok.optimize(model, dry_run=True)


def test_refusals_reach_the_caller():
    component = zoo.causal()
    with pytest.raises(NothingToRewrite) as caught:
        edgetok.optimize(component.module, component.inputs, plugins="tome:r=2", dry_run=True)
    assert "causal" in caught.value.why


def test_the_package_is_light_and_complete():
    code = "import sys, edgetok; dir(edgetok); edgetok.Plugin; edgetok.hookimpl; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert all(getattr(edgetok, name) is not None for name in edgetok.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        _ = edgetok.nothing
