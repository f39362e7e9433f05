import pytest
import torch

from edgetok.errors import ExportFailed
from edgetok.lowering import exposed_names, lower
from edgetok.ops.decisions import DECISION_OPS
from edgetok.target import Realisations, Target
from edgetok.testing import zoo
from edgetok.testing.reductions import Merge
from edgetok.testing.trial import Trial, difference, run, subject

PLAIN = [
    Realisations(match="sort", reduce="gather"),
    Realisations(match="sort-free", reduce="one-hot"),
    Realisations(match="sort-free", reduce="one-hot", fused=True),
]


def target(realisations):
    return Target(name="t", summary="a b c", exporter="e", runtime="r", realisations=realisations)


def merged(factory):
    return Trial(Merge(), subject(factory)).optimised


@pytest.mark.parametrize("realisations", PLAIN, ids=["index", "sort-free", "fused"])
@pytest.mark.parametrize("factory", [zoo.transformer_encoder, zoo.bert], ids=["encoder", "bert-padded"])
@pytest.mark.parametrize("batch", [pytest.param(1, marks=pytest.mark.exhaustive), 2])
def test_the_lowered_program_computes_the_same_without_primitives(factory, realisations, batch):
    program = merged(factory)
    lowered = lower(program, target(realisations), batch=batch)
    assert not [
        n.target for n in lowered.exported.graph.nodes if n.op == "call_function" and "edgetok" in str(n.target)
    ]
    inputs = {name: tensor[:batch] for name, tensor in program.example.items()}
    found = lowered.exported.module()(**inputs)
    for got, want in zip(found, run(program, inputs), strict=True):
        assert difference(got, want) < 1e-5


def test_a_free_batch_stays_free():
    program = merged(zoo.transformer_encoder)
    module = lower(program, target(PLAIN[0]), batch=None).exported.module()
    for n in (1, 2):
        inputs = {name: tensor[:n] for name, tensor in program.example.items()}
        assert difference(module(**inputs)[0], run(program, inputs)[0]) < 1e-5


def test_weights_keep_their_names_and_nodes_their_makers():
    program = merged(zoo.transformer_encoder)
    lowered = lower(program, target(PLAIN[1])).exported
    assert set(program.exported.state_dict) <= set(lowered.state_dict)
    makers = {n.meta.get("custom", {}).get("edgetok", {}).get("plugin") for n in lowered.graph.nodes}
    assert {"merge", None} <= makers


def test_exposed_nodes_become_outputs():
    program = merged(zoo.transformer_encoder)
    node = next(n.name for n in program.graph.nodes if n.target in DECISION_OPS)
    lowered = lower(program, target(PLAIN[0]), batch=2, expose=[node])
    assert exposed_names(lowered) == {node: (f"{node}.0", f"{node}.1", f"{node}.2")}
    found = lowered.exported.module()(**{name: tensor[:2] for name, tensor in program.example.items()})
    assert len(found) == len(program.outputs) + 3


def test_another_batch_than_the_captured_one_is_refused():
    from dataclasses import replace

    program = replace(merged(zoo.transformer_encoder), dynamic={})
    with pytest.raises(ExportFailed, match="batch of 7"):
        lower(program, target(PLAIN[0]), batch=7)


def test_the_program_is_left_alone():
    program = merged(zoo.transformer_encoder)
    before = [str(n) for n in program.graph.nodes]
    lower(program, target(PLAIN[1]))
    assert [str(n) for n in program.graph.nodes] == before
    assert torch.is_tensor(run(program)[0])
