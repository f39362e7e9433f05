"""Token Merging on whole models, against a literal forward written from the equations; its options; its limits."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from edgetok.errors import BadOption
from edgetok.graph import capture, find_sites, rewrite
from edgetok.ops import bipartite_match
from edgetok.options import parse_uses
from edgetok.registry import installed
from edgetok.testing import zoo
from edgetok.testing.trial import Subject, Trial, difference, run, subject
from edgetok_plugins.tome import ToMe

CLOSE = 1e-5
"""Relative: sums are taken in another order."""

MODELS = {
    "vit": (zoo.vit_tokens, 1, "reference"),
    "dinov2": (zoo.dinov2, 1, "reference"),
    "dinov2-registers": (zoo.dinov2_registers, 5, "reference"),
    "dinov3-rope": (zoo.dinov3, 5, "kept"),
    "beit-bias": (zoo.beit, 1, "kept"),
}


def tome(**options) -> ToMe:
    return installed().plugin("tome", options)


def final_norm(module: nn.Module) -> nn.Module:
    return getattr(module, "layernorm", None) or module.norm


@pytest.mark.parametrize("proportional", [True, False], ids=["proportional", "plain"])
@pytest.mark.parametrize("name", MODELS)
def test_per_token_outputs_are_those_of_the_equations(literal, name, proportional):
    """LayerScale, registers, rotary positions, position biases: all kept; outputs restored to every original token."""
    factory, prefix, order = MODELS[name]
    trial = Trial(tome(r=[4, 5, 3], prop_attn=proportional), subject(factory))
    module, pixels = trial.subject.component.module, trial.subject.component.inputs["pixel_values"]
    arrange = literal.paper_order if order == "reference" else literal.kept_order
    samples = literal.run(module, pixels, prefix, [4, 5, 3], arrange, proportional)
    number = trial.subject.sites[0].tokens
    with torch.no_grad():
        want = torch.stack([final_norm(module)(literal.restored(tokens, number)) for tokens in samples])
    assert difference(trial.outputs[0], want) <= CLOSE
    assert difference(trial.outputs[0], trial.subject.dense_outputs[0]) > 100 * CLOSE


@pytest.mark.parametrize(("factory", "prefix"), [(zoo.vit, 1), (zoo.deit, 2)], ids=["vit", "deit"])
def test_logits_are_those_of_the_equations(literal, factory, prefix):
    trial = Trial(tome(r=4), subject(factory))
    module, pixels = trial.subject.component.module, trial.subject.component.inputs["pixel_values"]
    samples = literal.run(module, pixels, prefix, [4, 4, 4], literal.paper_order)
    body = getattr(module, "vit", None) or module.deit
    heads = [module.classifier] if prefix == 1 else [module.cls_classifier, module.distillation_classifier]
    with torch.no_grad():
        want = [
            torch.stack([head(body.layernorm(tokens[i].feature)) for tokens in samples]) for i, head in enumerate(heads)
        ]
    for found, logits in zip(trial.outputs[-prefix:], want, strict=True):
        assert difference(found, logits) <= CLOSE


def test_more_than_half_is_capped_as_the_equations_cap(literal):
    trial = Trial(tome(r=100), subject(zoo.vit))
    module, pixels = trial.subject.component.module, trial.subject.component.inputs["pixel_values"]
    samples = literal.run(module, pixels, 1, [100] * 3, literal.paper_order)
    assert trial.plan.tokens == (26, 14, 8, 5)
    assert [len(tokens) for tokens in samples] == [5, 5]
    assert all("capped at" in (d.note or "") for d in trial.plan.decisions)
    with torch.no_grad():
        want = torch.stack([module.classifier(module.vit.layernorm(tokens[0].feature)) for tokens in samples])
    assert difference(trial.outputs[0], want) <= CLOSE


@pytest.mark.parametrize("prefix", [1, 2])
@pytest.mark.parametrize("tokens", [24, 27])
def test_the_order_is_the_papers(literal, prefix, tokens):
    metric = torch.randn(1, tokens, 8, generator=torch.Generator().manual_seed(tokens + prefix))
    keep, src, _ = bipartite_match(metric, None, 6, prefix, "reference")
    gone = set(src[0].tolist())
    even = [i for i in range(prefix, tokens) if i % 2 == 0 and i not in gone]
    odd = [i for i in range(prefix, tokens) if i % 2 == 1]
    assert keep[0].tolist() == literal.paper_order(even, odd, prefix)


def orders(trial: Trial) -> set[str]:
    return {n.args[4] for n in trial.optimised.graph.nodes if "edgetok.bipartite_match" in str(n.target)}


def test_models_with_positions_inside_always_keep_the_order():
    assert orders(Trial(tome(r=2, order="reference"), subject(zoo.dinov3))) == {"kept"}
    assert orders(Trial(tome(r=2, order="reference"), subject(zoo.beit))) == {"kept"}
    assert orders(Trial(tome(r=2, order="reference"), subject(zoo.vit))) == {"reference"}
    assert orders(Trial(tome(r=2, order="kept"), subject(zoo.vit))) == {"kept"}


class Normed(nn.Module):
    """A block with q/k-norm and a mean over tokens at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(32), nn.LayerNorm(32)
        self.q, self.k, self.v, self.o = (nn.Linear(32, 32) for _ in range(4))
        self.q_norm, self.k_norm = nn.LayerNorm(16), nn.LayerNorm(16)
        self.mlp = nn.Sequential(nn.Linear(32, 48), nn.GELU(), nn.Linear(48, 32))

    def heads(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = (p(h).unflatten(-1, (2, 16)).transpose(-3, -2) for p in (self.q, self.k, self.v))
        return self.q_norm(q), self.k_norm(k), v

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mixed = nn.functional.scaled_dot_product_attention(*self.heads(self.norm1(x)))
        x = x + self.o(mixed.transpose(1, 2).flatten(2))
        x = x + self.mlp(self.norm2(x))
        return x, x.mean(1)


@pytest.fixture(scope="module")
def normed() -> Subject:
    return Subject(lambda: zoo.component("normed", Normed(), zoo.features()))


def test_keys_are_those_after_q_k_norm(literal, normed):
    trial = Trial(tome(r=6), normed)
    module, x = normed.component.module, normed.component.inputs["x"]
    with torch.no_grad():
        keys = module.heads(module.norm1(x))[1].mean(1)
    (call,) = trial.watched
    keep, src, dst = bipartite_match(keys, None, 6, 0, "reference")
    assert torch.equal(call.map.keep, keep)
    assert torch.equal(call.map.src, src)
    assert torch.equal(call.map.dst, dst)


def test_a_mean_over_tokens_weighs_them_by_size(normed):
    trial = Trial(tome(r=6), normed)
    tokens, mean = trial.outputs
    assert difference(mean, tokens.mean(1)) <= CLOSE
    assert difference(mean, normed.dense_outputs[1]) > CLOSE


def test_mean_pooling_of_a_model_is_that_of_its_restored_tokens():
    trial = Trial(tome(r=3), subject(zoo.beit))
    module = trial.subject.component.module
    with torch.no_grad():
        pooled = module.pooler(trial.outputs[0])
    assert difference(trial.outputs[1], pooled) <= CLOSE


def test_merged_padding_changes_no_real_token():
    """With 8 padding tokens and one merge per layer, the padded sample loses padding only."""
    trial = Trial(tome(r=1), subject(zoo.bert))
    real = trial.subject.component.inputs["attention_mask"][0].bool()
    found, dense = trial.outputs[0], trial.subject.dense_outputs[0]
    assert difference(found[0][real], dense[0][real]) <= CLOSE
    assert difference(found[1], dense[1]) > 100 * CLOSE


def test_padding_runs_out_before_real_tokens_merge():
    trial = Trial(tome(r=4), subject(zoo.bert))
    real = [float((call.sizes[0] > 0).sum()) for call in trial.watched]
    padding = [float((call.sizes[0] == 0).sum()) for call in trial.watched]
    assert real[0] == 16
    assert padding == [8, 4, padding[2]]
    assert padding[2] < 4


def test_no_merge_inserts_nothing():
    trial = Trial(tome(r=0), subject(zoo.vit))
    assert trial.steps == []
    assert [str(n) for n in rewrite(trial.subject.program).graph.nodes] == [str(n) for n in trial.optimised.graph.nodes]


def test_a_list_acts_layer_by_layer():
    assert Trial(tome(r=[3, 0, 5]), subject(zoo.vit)).plan.tokens == (26, 23, 23, 18)
    assert Trial(tome(r=(2, -1.0)), subject(zoo.vit)).plan.tokens == (26, 22, 20, 20)


def test_a_batch_of_samples_merges_each_on_its_own():
    trial = Trial(tome(r=5), subject(zoo.vit))
    pixels = trial.subject.component.inputs["pixel_values"]
    flipped = run(trial.optimised, {"pixel_values": pixels.flip(0)})
    assert difference(flipped[0], trial.outputs[0].flip(0)) <= CLOSE


def test_the_site_of_a_static_batch_is_found_too():
    component = zoo.vit()
    program = capture(type(component)(component.name, component.module, component.inputs, {}, component.role))
    assert [site.obstacle for site in find_sites(program)] == [None] * 3


@pytest.mark.parametrize(
    ("typed", "r"),
    [("tome:r=8", 8), ("tome:r=[8,8,4]", (8, 8, 4)), ("tome:r=(8,-1.0)", (8, -1.0)), ("tome", 8)],
)
def test_options_as_people_type_them(typed, r):
    (options,) = parse_uses(typed).values()
    assert tome(**options).r == r


@pytest.mark.parametrize(
    "options",
    [{"r": -1}, {"r": [4, -2]}, {"r": 2.5}, {"r": (8, -1.5)}, {"r": "many"}, {"order": "random"}, {"rr": 8}],
)
def test_impossible_options_are_refused(options):
    with pytest.raises(BadOption) as caught:
        tome(**options)
    assert "r: " in caught.value.hint


def test_options_are_what_a_recipe_records():
    assert tome(r=(8, -1.0)).options() == {"r": [8, -1.0], "order": "reference", "prop_attn": True, "protect": 0.0}


@pytest.mark.slow
def test_accuracy_on_real_images_is_that_of_literal_token_merging(measuring_data):
    """ViT-Tiny on 650 images: dense 82.46 %, r = 8 82.31 %, as measured with an independent implementation."""
    from edgetok.evaluate import load_dataset
    from edgetok.model import Preprocessing
    from edgetok.sources import load_model

    images = measuring_data("imagenet_val")
    component = load_model(str(measuring_data("vit_tiny_in1k"))).only
    held = Subject(lambda: type(component)("vit", _real(component), component.inputs, component.dynamic, "classifier"))
    prepared = Preprocessing(shortest_edge=227, crop=(224, 224), resample="bicubic")
    right = {"dense": 0, "tome": 0}
    programs = {"dense": held.dense, "tome": Trial(tome(r=8), held).optimised}
    modules = {name: program.exported.module() for name, program in programs.items()}
    total = 0
    for inputs, labels in load_dataset(str(images / "labels.tsv"), prepared).batches(25):
        pixels = torch.from_numpy(inputs["pixel_values"])
        total += len(labels)
        for name, module in modules.items():
            with torch.no_grad():
                right[name] += int((module(pixel_values=pixels)[0].argmax(1) == torch.as_tensor(labels)).sum())
    assert total == 650
    assert {name: round(100 * n / total, 2) for name, n in right.items()} == {"dense": 82.46, "tome": 82.31}


def _real(component) -> nn.Module:
    component.module.load_state_dict(component.weights(), assign=True)
    return component.module
