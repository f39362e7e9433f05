"""Reductions confined to one attention: where they go in and come out, against modules written by hand."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from edgetok.graph import Step, TokenMap, run_rewritten
from edgetok.graph.nodes import op_name
from edgetok.graph.scope import Finder
from edgetok.plugin import TokenReduction
from edgetok.testing import diffusion, zoo
from edgetok.testing.trial import Trial, subject


class Pairs(TokenReduction):
    """Merges every odd token behind the front into the one before it."""

    name, summary, paper = "pairs", "Merge neighbours.", "none"
    extent = "attention"

    def keep(self, site, tokens):
        return tokens - site.mergeable(tokens) // 2

    def reduce(self, signals, keep):
        return pairs(signals.hidden, signals.protected)


class KeyPairs(Pairs):
    extent = "keys"


class Unweighed(Pairs):
    proportional = False


def pairs(x, front=0):
    left = [*range(front), *range(front, x.shape[1], 2)]
    gone = [*range(front + 1, x.shape[1], 2)]
    into = [front + i for i in range(len(gone))]
    return TokenMap(*(torch.tensor([ids]).expand(x.shape[0], -1) for ids in (left, gone, into)))


def scopes(factory, extent):
    from edgetok.graph.dependence import data_inputs, feature_nodes

    program = subject(factory).program
    features = feature_nodes(program.graph, data_inputs(program.graph, program.placeholders.values()))
    return [Finder(site.space, program.labels, features).find(site.node, extent) for site in subject(factory).sites]


def names(scope):
    return sorted(op_name(node) for node in scope.inside)


@pytest.mark.parametrize(("factory", "entry"), [(zoo.unet, "layer_norm"), (zoo.dit, "add"), (zoo.mmdit, "layer_norm")])
def test_a_reduction_goes_in_before_the_projections_and_out_after_them(factory, entry):
    for scope in scopes(factory, "attention"):
        assert op_name(scope.entry) == entry
        assert names(scope).count("linear") == 4, "queries, keys, values and the result"
        assert names(scope).count("add") == 0, "the residual sees all tokens"


def test_keys_alone_leave_queries_and_results():
    for scope in scopes(zoo.unet, "keys"):
        assert names(scope).count("linear") == 2


def test_a_fused_projection_is_cut_where_keys_part_from_queries():
    for scope in scopes(zoo.transformer_encoder, "keys"):
        assert "linear" not in names(scope)
        assert "scaled_dot_product_attention" in names(scope)
    for scope in scopes(zoo.transformer_encoder, "attention"):
        assert names(scope).count("linear") == 2


def by_hand(monkeypatch, extent, weigh):
    """``diffusion.Attention`` with neighbours merged, where it attends over its own tokens."""
    dense = diffusion.Attention.forward

    def forward(self, x, context):
        if context is not x:
            return dense(self, x, context)
        token_map = pairs(x)
        small = token_map.reduce(x, None, "mean")
        q = self.split(self.query(x if extent == "keys" else small))
        k, v = self.split(self.key(small)), self.split(self.value(small))
        sizes = token_map.reduce(torch.ones_like(x[:, :, :1]), None, "sum")
        bias = sizes.log().squeeze(-1)[:, None, None] if weigh else None
        y = self.out(scaled_dot_product_attention(q, k, v, bias).transpose(1, 2).flatten(2))
        return y if extent == "keys" else token_map.restore(y, x.shape[1])

    monkeypatch.setattr(diffusion.Attention, "forward", forward)


@pytest.mark.parametrize("plugin", [Pairs(), KeyPairs(), Unweighed()], ids=["attention", "keys", "unweighed"])
@pytest.mark.parametrize("factory", [zoo.unet, zoo.dit])
def test_it_computes_what_a_module_written_by_hand_does(factory, plugin, monkeypatch):
    trial = Trial(plugin, subject(factory))
    assert len(trial.steps) == len(trial.subject.sites)
    (found,) = run_rewritten(trial.subject.program, trial.steps, trial.subject.program.example)
    by_hand(monkeypatch, plugin.extent, plugin.proportional)
    with torch.no_grad():
        want = factory().module(**trial.subject.program.example)
    torch.testing.assert_close(found, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("plugin", [Pairs(), KeyPairs()], ids=["attention", "keys"])
def test_text_beside_the_image_stays_whole(plugin, monkeypatch):
    trial = Trial(plugin, subject(zoo.mmdit))
    assert [(d.tokens, d.keep) for d in trial.plan.decisions] == [(41, 23), (41, 23)]
    (found,) = run_rewritten(trial.subject.program, trial.steps, trial.subject.program.example)
    keys = plugin.extent == "keys"

    def forward(self, text, image):
        small = self.norms[1](image)
        token_map = pairs(small)
        whole, small = small, token_map.reduce(small, None, "mean")
        told, a, b = self.norms[0](text), self.told, self.seen
        q = torch.cat([a.split(a.query(told)), b.split(b.query(whole if keys else small))], 2)
        k = torch.cat([a.split(a.key(told)), b.split(b.key(small))], 2)
        v = torch.cat([a.split(a.value(told)), b.split(b.value(small))], 2)
        sizes = torch.cat([torch.ones(text.shape[1]), torch.full((small.shape[1],), 2.0)])
        mixed = scaled_dot_product_attention(self.unit(q), self.unit(k), v, sizes.log()[None, None, None])
        mixed = mixed.transpose(1, 2).flatten(2)
        said, seen = a.out(mixed[:, : text.shape[1]]), b.out(mixed[:, text.shape[1] :])
        image = image + (seen if keys else token_map.restore(seen, image.shape[1]))
        return text + said, image + self.mlp(image)

    monkeypatch.setattr(diffusion.Joint, "forward", forward)
    with torch.no_grad():
        want = zoo.mmdit().module(**trial.subject.program.example)
    torch.testing.assert_close(found, want, rtol=1e-4, atol=1e-5)


def test_one_attention_may_be_reduced_and_the_next_not():
    trial = Trial(Pairs(), subject(zoo.dit))
    first, second = trial.steps
    example = trial.subject.program.example
    one, other, none = (run_rewritten(trial.subject.program, steps, example)[0] for steps in ([first], [second], []))
    assert not torch.equal(one, other)
    assert not torch.equal(one, none)


def test_what_onward_reductions_cannot_follow_may_still_be_followed_within_an_attention():
    sites = subject(zoo.mmdit).sites
    assert all(site.obstacle is not None for site in sites), "text and image have residuals of their own"
    assert all(site.obstacle_to("attention") is None for site in sites)


def test_padding_is_refused_within_an_attention():
    assert all("padded" in (site.obstacle_to("attention") or "") for site in subject(zoo.bert).sites)


def test_a_step_for_another_space_is_no_obstacle():
    """The U-Net's resolutions are spaces of their own."""
    trial = Trial(Pairs(), subject(zoo.unet))
    steps = [Step(step.site, Pairs(), step.keep) for step in trial.steps[1:]]
    (found,) = run_rewritten(trial.subject.program, steps, trial.subject.program.example)
    assert bool(found.isfinite().all())
