from dataclasses import replace

import pytest

from edgetok.digest import structure
from edgetok.graph import capture, find_sites
from edgetok.plan import make_plan
from edgetok.registry import installed
from edgetok.testing import zoo
from edgetok.testing.trial import subject
from edgetok_plugins.tome import ToMe


@pytest.fixture(scope="module")
def program():
    return subject(zoo.vit).program


def digest(program, plugin=None, target=None):
    plugin, target = plugin or ToMe(r=2), target or installed().target("onnx")
    return make_plan(program, find_sites(program), [plugin], target).digest


def test_the_same_model_captured_again_has_the_same_structure(program):
    assert structure(capture(zoo.vit())) == structure(program)


def test_weights_do_not_matter(program):
    state = {name: tensor + 1 for name, tensor in program.exported.state_dict.items()}
    assert structure(program.with_state(state)) == structure(program)


def test_names_of_values_do_not_matter():
    program = capture(zoo.transformer_encoder())
    before = structure(program)
    for node in program.graph.nodes:
        if node.op == "call_function":
            node.name = f"renamed_{node.name}"
    assert structure(program) == before


def test_an_operation_or_a_number_matters():
    program = capture(zoo.transformer_encoder())
    before = structure(program)
    node = next(n for n in program.graph.nodes if "layer_norm" in str(n.target))
    node.args = (*node.args[:-1], not node.args[-1])
    assert structure(program) != before


def test_symbolic_sizes_are_numbered():
    symbolic = structure(subject(zoo.symbolic_tokens).program)
    assert structure(capture(zoo.symbolic_tokens())) == symbolic
    assert symbolic != structure(subject(zoo.transformer_encoder).program)


def test_options_and_target_make_other_digests(program):
    target = installed().target("onnx")
    other = target.model_copy(update={"realisations": target.realisations.model_copy(update={"reduce": "one-hot"})})
    reworded = target.model_copy(update={"summary": "other words"})
    digests = [digest(program), digest(program, ToMe(r=3)), digest(program, ToMe(r=2, order="kept"))]
    assert len({*digests, digest(program, target=other)}) == 4
    assert digest(program, target=reworded) == digests[0]


def test_the_words_of_a_refusal_do_not_matter(program, monkeypatch):
    sites = find_sites(program)

    def plan(words):
        refused = [replace(sites[0], obstacle=words), *sites[1:]]
        return make_plan(program, refused, [ToMe(r=2)], installed().target("onnx"))

    assert plan("no").digest == plan("not here").digest
    assert plan("no").digest != digest(program)
