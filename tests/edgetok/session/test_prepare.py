import pytest
import torch
from torch import nn

from edgetok.errors import BrokenWeights, DigestMismatch, UnsupportedModel
from edgetok.model import Component, Model
from edgetok.progress import Silent
from edgetok.recipe_file import make_recipe
from edgetok.session.clock import Clock
from edgetok.session.prepare import check_plain, find_tools, prepare, seeded, with_weights
from edgetok.testing import zoo
from edgetok.testing.blocks import Encoder


def run(model, **parts):
    recipe = make_recipe({"model": "m", "plugins": "tome:r=2", **parts})
    return prepare(recipe, find_tools(recipe), model, Clock(Silent()))


def model_of(component):
    return Model(component.name, "", {component.name: component})


def small():
    """An encoder of one block: capturing it takes a third of the time."""
    return zoo.component("small", Encoder(16, 2, 1), {"x": torch.randn(2, 12, 16)})


def test_plans_before_weights_are_read():
    read = []
    component = zoo.transformer_encoder()
    state = {**dict(component.module.named_parameters()), **dict(component.module.named_buffers())}
    lazy = Component(**{**component.__dict__, "weights": lambda: read.append(True) or state})
    prepared = run(model_of(lazy))
    assert prepared.plan.tokens == (24, 22, 20, 18)
    assert read == []
    assert with_weights(prepared).program.exported.state_dict.keys() <= state.keys()
    assert read == [True]


@pytest.mark.parametrize(("change", "says"), [("drop", "it is missing"), ("cut", "expected")])
def test_weights_that_do_not_fit(change, says):
    component = small()
    state = dict(component.module.named_parameters())
    name = next(iter(state))
    state[name] = state[name][:1]
    if change == "drop":
        del state[name]
    lazy = Component(**{**component.__dict__, "weights": lambda: state})
    with pytest.raises(BrokenWeights, match=name) as caught:
        with_weights(run(model_of(lazy)))
    assert says in caught.value.why


def test_a_recorded_digest_must_come_out_again():
    model = model_of(small())
    digest = run(model).plan.digest
    assert run(model, plan_digest=digest).plan.digest == digest
    with pytest.raises(DigestMismatch, match="another plan"):
        run(model, plan_digest=digest, plugins="tome:r=3")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_refused_with_the_way_out(dtype):
    component = Component("m", nn.Linear(2, 2).to(dtype), {"x": torch.ones(2, 2)})
    with pytest.raises(UnsupportedModel) as caught:
        check_plain(component)
    assert str(dtype).removeprefix("torch.") in caught.value.why
    assert ".float()" in caught.value.hint


def test_other_dtypes_are_fine():
    check_plain(Component("m", nn.Linear(2, 2).double(), {"x": torch.ones(2, 2, dtype=torch.int64)}))


def test_seeds_are_repeatable_and_leave_the_callers_alone():
    before = torch.random.get_rng_state()
    drawn = []
    for seed in (0, 0, 1):
        with seeded(seed):
            drawn.append(torch.rand(3))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert torch.equal(before, torch.random.get_rng_state())
