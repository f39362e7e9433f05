"""Losses are those of the program that would be delivered, per sample."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from edgetok.errors import UnsupportedModel
from edgetok.graph import rewrite
from edgetok.tune.judge import divergence


def test_dense_loses_nothing(judge):
    losses = judge([])
    assert losses.kl.shape == (12,)
    assert not losses.kl.any()
    assert losses.agree.all()
    assert losses.drop == 0.0


def test_walked_scores_are_those_of_the_rewritten_program(judge, setting):
    steps = setting.steps(setting.candidate([6, 4, 2]))
    program = rewrite(setting.prepared.program, steps)
    arrays, labels = next(iter(judge.data.batches(12)))
    with torch.no_grad():
        (want,) = program.exported.module()(x=torch.from_numpy(arrays["x"]))
    np.testing.assert_allclose(judge.scores(steps), want.double().numpy(), rtol=1e-5, atol=1e-6)
    losses = judge(steps)
    assert (losses.kl > 0).all()
    right = want.numpy().argmax(1) == labels
    dense = judge.dense().argmax(1) == labels
    assert losses.drop == pytest.approx(100 * (dense.mean() - right.mean()))


def test_without_labels_there_is_no_drop(judge, setting):
    losses = replace(judge, labelled=False)(setting.steps(setting.candidate([6, 4, 2])))
    assert losses.drop is None
    assert losses.right is None


def test_divergence_of_known_distributions():
    dense, found = np.log([[0.5, 0.5]]), np.log([[0.9, 0.1]])
    want = 0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1)
    assert divergence(dense, found) == pytest.approx([want])


def test_a_model_without_class_scores_is_refused(judge, monkeypatch):
    other = replace(judge, _dense=None)
    monkeypatch.setattr("edgetok.graph.retraced.Retraced.forward", None, raising=False)
    monkeypatch.setattr("edgetok.graph.retraced.Retraced._forward", lambda self, plan: lambda **inputs: (inputs["x"],))
    with pytest.raises(UnsupportedModel, match="no class scores"):
        other.scores(())
