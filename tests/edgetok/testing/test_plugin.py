"""The kit itself: one right plugin passes every check, and each broken one fails the check that is about its defect."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from pydantic import ConfigDict, Field

from edgetok.graph import TokenMap
from edgetok.ops import bipartite_match, select_top
from edgetok.plugin import TokenReduction
from edgetok.testing import Case, PluginConformance, RefusalCase, Task, zoo
from edgetok.testing.plugin import GUARD, check_names, checks
from edgetok.testing.trial import difference, run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the zoo is tested on POSIX")


class Right(TokenReduction):
    """Merges the r most similar pairs of tokens after every attention, as Token Merging does; a correct plugin."""

    name: ClassVar[str] = "right"
    summary: ClassVar[str] = "Merge similar tokens."
    paper: ClassVar[str] = "Token Merging, https://arxiv.org/abs/2210.09461"
    api_version: ClassVar[str] = "1"
    r: int = Field(default=2, ge=0, description="Tokens to merge per layer.")

    def keep(self, site, tokens):
        return tokens - self.r

    def reduce(self, signals, keep):
        sizes = signals.sizes if signals.padded else None
        return self.match(signals, sizes, signals.tokens - keep)

    def match(self, signals, sizes, r):
        return TokenMap(*bipartite_match(signals.keys, sizes, r, signals.protected, "kept"))


class MarksNodes(Right):
    def reduce(self, signals, keep):
        signals.site.node.meta["seen"] = True
        return super().reduce(signals, keep)


class HalvesInPlace(Right):
    def reduce(self, signals, keep):
        signals.hidden.mul_(0.5)
        return super().reduce(signals, keep)


class Miscounts(Right):
    def reduce(self, signals, keep):
        return super().reduce(signals, keep - 1)


class NeverRefuses(Right):
    def refuses(self, site):
        return None


class RefusesWithoutReason(Right):
    def refuses(self, site):
        return "no" if site.obstacle else None


class RefusesAll(Right):
    def refuses(self, site):
        return "it does not like any model at all"


class DrawsLots(Right):
    def reduce(self, signals, keep):
        return TokenMap.pruning(select_top(torch.rand_like(signals.hidden[..., 0]), keep, signals.protected))


class Remembers(Right):
    calls: ClassVar[list[int]] = []

    def reduce(self, signals, keep):
        self.calls.append(len(self.calls))
        scores = signals.hidden[..., 0] * len(self.calls)
        return TokenMap.pruning(select_top(scores, keep, signals.protected))


class BranchesOnData(Right):
    def reduce(self, signals, keep):
        if signals.hidden.sum() > 0:
            return super().reduce(signals, keep)
        return TokenMap.pruning(torch.arange(keep).expand(signals.hidden.shape[0], -1))


class IgnoresPadding(Right):
    def reduce(self, signals, keep):
        return self.match(signals, None, signals.tokens - keep)


class KeepsTwice(Right):
    def reduce(self, signals, keep):
        kept = super().reduce(signals, keep).keep
        return TokenMap.pruning(torch.cat([kept[:, :-1], kept[:, :1]], 1))


class ForgetsThePrefix(Right):
    def reduce(self, signals, keep):
        last = torch.arange(signals.tokens - keep, signals.tokens)
        return TokenMap.pruning(last.expand(signals.hidden.shape[0], -1))


class MergesTwice(Right):
    def reduce(self, signals, keep):
        once = super().reduce(signals, keep)
        return TokenMap(once.keep, torch.cat([once.src, once.src], 1), torch.cat([once.dst, once.dst], 1))


class LooksAtTheFirstSample(Right):
    def reduce(self, signals, keep):
        scores = signals.hidden[:1, :, 0].expand(signals.hidden.shape[0], -1)
        return TokenMap.pruning(select_top(scores, keep, signals.protected))


class KnowsTheBatch(Right):
    def reduce(self, signals, keep):
        return TokenMap.pruning(torch.arange(keep).expand(2, -1))


class DoesNotExport(Right):
    def reduce(self, signals, keep):
        scores = torch.special.bessel_j0(signals.hidden[..., 0])
        return TokenMap.pruning(select_top(scores, keep, signals.protected))


class NoSource(Right):
    paper: ClassVar[str] = "a blog post"


class BadName(Right):
    name: ClassVar[str] = "Right_One"


class NoApiVersion(Right):
    api_version: ClassVar[str] = "0"


class UnknownTags(Right):
    changes: ClassVar[tuple[str, ...]] = ("tokens",)


class Undocumented(Right):
    strength: int = 3


class Forgets(Right):
    r: int = Field(default=1, exclude=True, description="Tokens to merge per layer.")


class Lenient(Right):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Thaws(Right):
    model_config = ConfigDict(frozen=False, extra="forbid")


def moved(dense, optimised):
    return max(difference(a, b) for a, b in zip(run(optimised), run(dense), strict=True))


ENCODER = Case("encoder", zoo.transformer_encoder)
VIT = Case("vit", zoo.vit)
BERT = Case("bert", zoo.bert)


def kit(plugin=None, **attributes):
    stated = {
        "plugin": plugin or Right(),
        "zero": Right(r=0),
        "accepts": (ENCODER,),
        "refuses": (RefusalCase("banded", zoo.banded, "band"),),
        "lossless": "it is a test of the kit",
    }
    return type("Kit", (PluginConformance,), {**stated, **attributes})


def failures(conformance, name):
    """What a check says of each of its cases; nothing where all pass."""
    said = []
    for check, case, call in checks(conformance):
        if check == name:
            try:
                call()
            except (Exception, pytest.fail.Exception) as error:
                said.append(f"{case}: {error}")
    return said


def bounded(at_most):
    return (Case("bounded", zoo.transformer_encoder, task=Task(moved, at_most, "of the largest value")),)


BROKEN = {
    "marks nodes of the program": (kit(MarksNodes()), "test_input_is_left_alone", "changed the program"),
    "changes a signal in place": (kit(HalvesInPlace()), "test_signals_are_left_alone", "hidden"),
    "leaves another number of tokens": (kit(Miscounts()), "test_accepted_models_are_rewritten", "left 21 tokens"),
    "branches on data": (kit(BranchesOnData()), "test_accepted_models_are_rewritten", "data-dependent"),
    "does nothing": (kit(Right(r=0)), "test_accepted_models_are_rewritten", "nothing is rewritten"),
    "refuses what it should accept": (kit(RefusesAll()), "test_accepted_models_are_rewritten", "nothing is rewritten"),
    "never refuses": (kit(NeverRefuses()), "test_refused_models_are_refused", "acts at"),
    "refuses without a reason": (kit(RefusesWithoutReason()), "test_refused_models_are_refused", "no reason says"),
    "is refused for another reason": (
        kit(refuses=(RefusalCase("banded", zoo.banded, "causal"),)),
        "test_refused_models_are_refused",
        "no reason says 'causal'",
    ),
    "draws lots": (kit(DrawsLots()), "test_it_is_deterministic", "two runs"),
    "remembers": (kit(Remembers()), "test_it_is_deterministic", "two rewrites"),
    "is not nothing at zero": (kit(zero=Right(r=1)), "test_zero_strength_is_the_dense_program", "still acts"),
    "merges padding with real tokens": (
        kit(IgnoresPadding(), accepts=(BERT,)),
        "test_padding_stays_apart",
        "merges of padding",
    ),
    "keeps a token twice": (kit(KeepsTwice()), "test_token_maps_are_sound", "kept twice"),
    "forgets the class token": (
        kit(ForgetsThePrefix(), accepts=(VIT,)),
        "test_token_maps_are_sound",
        "must stay in place",
    ),
    "counts tokens twice": (kit(MergesTwice()), "test_sizes_are_conserved", "sizes sum to"),
    "decides all by one sample": (
        kit(LooksAtTheFirstSample()),
        "test_samples_do_not_see_each_other",
        "when it is alone",
    ),
    "knows the batch size": (kit(KnowsTheBatch()), "test_any_batch_size_works", "invalid for input"),
    "cannot be exported": (kit(DoesNotExport()), "test_exported_file_computes_the_same", "bessel_j0"),
    "loses more than it says": (kit(accepts=bounded(1e-9)), "test_task_loss_is_within_its_bound", "the bound is 1e-09"),
    "has an idle bound": (kit(accepts=bounded(1e9)), "test_task_bound_is_not_idle", "says nothing about the method"),
    "names no source": (kit(NoSource()), "test_source_is_stated", "no title and address"),
    "has a bad name": (kit(BadName()), "test_name_is_kebab_case", "kebab-case"),
    "has no docstring": (kit(NoSource()), "test_docstring_says_what_it_does", "docstring"),
    "is for another API": (kit(NoApiVersion()), "test_api_version_is_stated", "version '0'"),
    "uses unknown tags": (kit(UnknownTags()), "test_tags_are_known", "unknown tag 'tokens'"),
    "has an undocumented option": (kit(Undocumented()), "test_options_are_documented", "strength"),
    "has an option that does not replay": (kit(Forgets(r=2)), "test_options_survive_json", "reads back as"),
    "can change after planning": (kit(Thaws()), "test_options_are_frozen", "frozen"),
    "takes any option": (kit(Lenient()), "test_unknown_option_is_refused", "DID NOT RAISE"),
    "states no case": (kit(accepts=()), "test_accepted_and_refused_models_are_stated", "that the plugin accepts"),
    "states no refusal": (kit(refuses=()), "test_accepted_and_refused_models_are_stated", "that the plugin refuses"),
    "states no task": (kit(lossless=""), "test_accepted_and_refused_models_are_stated", "state a task"),
    "silences a check": (kit(test_it_is_deterministic=lambda self: None), GUARD, "without a reason"),
    "removes a check": (kit(test_it_is_deterministic=None), GUARD, "without a reason"),
}
IMPORTS = "test_importing_it_is_light"
ABOUT_THE_ENGINE = "test_forced_identity_is_bit_identical"
"""No plugin can fail this one; a model that the engine cannot follow does."""


@pytest.mark.parametrize("defect", BROKEN)
def test_a_broken_plugin_is_caught_by_the_check_about_its_defect(defect):
    conformance, check, words = BROKEN[defect]
    said = failures(conformance, check)
    assert said, f"{check} passes a plugin that {defect}"
    assert all(words in message for message in said)


RIGHT = kit(accepts=(*bounded(0.9), replace(VIT, export=False), replace(BERT, export=False)))


@pytest.mark.parametrize("check", [name for name in check_names() if name != IMPORTS])
def test_the_right_plugin_passes(check):
    if check == "test_task_bound_is_not_idle":
        pytest.skip("random weights: what random tokens lose here says nothing; the digits case of tome covers it")
    assert failures(RIGHT, check) == []


def test_every_check_is_known_to_catch_something():
    caught = {check for _, check, _ in BROKEN.values()}
    assert set(check_names()) - caught == {IMPORTS, ABOUT_THE_ENGINE}


@pytest.mark.parametrize(("first_line", "heavy"), [("import torch", True), ("import json", False)])
def test_a_heavy_import_is_caught(tmp_path, monkeypatch, first_line, heavy):
    name = f"plugin_{'heavy' if heavy else 'light'}"
    (tmp_path / f"{name}.py").write_text(
        f"{first_line}\nfrom edgetok.plugin import TokenReduction\nclass Mine(TokenReduction):\n    name = 'mine'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    conformance = kit(__import__(name).Mine())
    assert bool(failures(conformance, IMPORTS)) is heavy


def test_a_check_may_be_overridden_with_a_reason():
    @pytest.mark.xfail(reason="sampling is the method")
    def override(self):
        raise AssertionError

    assert failures(kit(test_it_is_deterministic=override), GUARD) == []


def test_the_guard_cannot_be_overridden():
    with pytest.raises(TypeError, match="never allowed"):
        kit(**{GUARD: lambda self: None})
