"""``package.module:factory``."""

from pathlib import Path

import pytest

from edgetok.errors import BadInputs, EdgetokError, ModelNotFound, UnsupportedModel
from edgetok.sources import load_model

SOURCE = """
import torch
from torch import nn
from edgetok.model import Component, Model

def pair():
    return nn.Linear(4, 2), torch.zeros(2, 4)

def component():
    return Component(name="encoder", module=nn.Linear(4, 2).eval(), inputs={"input": torch.zeros(2, 4)})

def model():
    return Model(name="mine", source="", components={"encoder": component()})

def broken():
    raise RuntimeError("no weights\\nfor you")

def nothing():
    return None

def refuses():
    return nn.Linear(4, 2), ()

class Box:
    make = staticmethod(pair)

number = 3
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    name = f"project_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    (tmp_path / f"{name}_broken.py").write_text("import nothing_of_that_name")
    monkeypatch.chdir(tmp_path)
    return name


def test_pair_from_the_working_directory(project: str) -> None:
    model = load_model(f"{project}:pair")
    assert (model.name, model.source) == ("pair", f"{project}:pair")
    assert list(model.only.inputs) == ["input"]


def test_component_model_and_attribute_path(project: str) -> None:
    assert list(load_model(f"{project}:component").components) == ["encoder"]
    assert load_model(f"{project}:model").source == f"{project}:model"
    assert load_model(f"{project}:Box.make").only.module.in_features == 4


@pytest.mark.parametrize(
    ("attribute", "error", "words"),
    [
        ("pear", ModelNotFound, "Did you mean pair"),
        ("broken", UnsupportedModel, r"RuntimeError: no weights \(project_\d+\.py:16\)"),
        ("nothing", UnsupportedModel, "returned NoneType"),
        ("number", UnsupportedModel, "not callable"),
        ("refuses", BadInputs, "Missing: input"),
    ],
)
def test_failures_have_a_cause(project: str, attribute: str, error: type[EdgetokError], words: str) -> None:
    with pytest.raises(error, match=words):
        load_model(f"{project}:{attribute}")


def test_modules_that_are_missing_or_fail(project: str) -> None:
    with pytest.raises(ModelNotFound, match="no module"):
        load_model("no_such_package.at_all:factory")
    with pytest.raises(UnsupportedModel, match="nothing_of_that_name"):
        load_model(f"{project}_broken:factory")
