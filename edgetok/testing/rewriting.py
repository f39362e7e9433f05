"""Checks of where a reduction acts, what it leaves alone, and that it is the same every time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgetok.graph import run_rewritten
from edgetok.graph.retrace import Step
from edgetok.testing.reductions import Identity
from edgetok.testing.stage import Stage
from edgetok.testing.trial import Trial, alike, first_difference, text

if TYPE_CHECKING:
    from torch import fx

    from edgetok.graph import Program
    from edgetok.testing.cases import Case, RefusalCase


class RewritingChecks(Stage):
    """Accepted, refused, untouched, identical at zero, deterministic."""

    def test_accepted_and_refused_models_are_stated(self) -> None:
        """There is at least one model of either kind, a task for what the method may lose, and ids are unique."""
        ids = [case.id for case in self.accepts] + [case.id for case in self.refuses]
        assert self.accepts, "state models that the plugin accepts"
        assert self.refuses, "state models that the plugin refuses, and why"
        assert any(case.export for case in self.accepts), "no accepted case is exported"
        assert len(set(ids)) == len(ids), f"ids repeat: {sorted(ids)}"
        assert self.lossless or any(case.task for case in self.accepts), (
            "state a task for a trained model, e.g. edgetok.testing.digits, or lossless = 'why it loses nothing'"
        )

    def test_accepted_models_are_rewritten(self, accepted: Case) -> None:
        """Every attention sees the number of tokens that ``keep`` said, and the outputs keep their shapes."""
        trial = self.trial(accepted)
        refusals = {d.refusal for d in trial.plan.decisions if d.refusal}
        assert trial.steps, f"nothing is rewritten; refusals: {refusals or 'none'}"
        _check_tokens(trial)
        found, dense = trial.outputs, trial.subject.dense_outputs
        assert [t.shape for t in found] == [t.shape for t in dense], "outputs must keep their shapes"
        assert all(bool(t.isfinite().all()) for t in found), "an output is not finite"
        assert not alike(found, dense), "the outputs are those of the dense model: this case shows nothing"

    def test_refused_models_are_refused(self, refused: RefusalCase) -> None:
        """Nothing is rewritten, and a reason for people contains what the case says."""
        plan = Trial(self.plugin, self.subject(refused.component)).plan
        reasons = [d.refusal for d in plan.decisions if d.refusal is not None]
        acted = [d.site for d in plan.decisions if d.refusal is None]
        assert not acted, f"acts at {acted}"
        assert reasons, "no site was considered, so nothing was refused"
        assert any(refused.reason in reason for reason in reasons), f"no reason says {refused.reason!r}: {reasons}"
        assert all(len(reason.split()) >= 3 for reason in reasons), f"reasons are for people: {reasons}"

    def test_input_is_left_alone(self, accepted: Case) -> None:
        """Module, program and example inputs are what they were, bit for bit."""
        changed = self.afresh(accepted).changed
        assert not changed, f"the plugin changed {' and '.join(changed)}"

    def test_zero_strength_is_the_dense_program(self, accepted: Case) -> None:
        """With the options of ``zero`` no token goes: the program is the dense one, node by node."""
        trial = Trial(self.zero, self.subject(accepted.component))
        acted = [f"{d.site}: {d.tokens} -> {d.keep}" for d in trial.plan.decisions if d.keep != d.tokens]
        assert not acted, f"{self.zero!r} still acts at {acted}"
        other = first_difference(text(trial.optimised), text(trial.subject.dense))
        assert not other, f"the program is not the dense one: {other}"

    def test_forced_identity_is_bit_identical(self, accepted: Case) -> None:
        """A map of every token to itself, at every site where the plugin acts, changes no bit."""
        trial = self.trial(accepted)
        identity = Identity(weigh=trial.plugin.proportional, reaches=trial.plugin.extent)
        steps = [Step(step.site, identity, step.site.tokens) for step in trial.steps]
        found = run_rewritten(trial.subject.program, steps, trial.subject.program.example)
        assert alike(found, trial.subject.walked), (
            "an identity map changed the outputs: the engine cannot follow this model"
        )

    def test_it_is_deterministic(self, accepted: Case) -> None:
        """Capturing and rewriting twice, and running twice, gives the same whatever the random state."""
        trial, again = self.trial(accepted), self.afresh(accepted)
        other = first_difference(again.text, text(trial.optimised))
        assert not other, f"two rewrites give two programs: {other}"
        assert alike(again.outputs, trial.outputs), "two runs give two results"


def _check_tokens(trial: Trial) -> None:
    """Every self-attention of the rewritten program has as many keys as the plan says."""
    onward = trial.plugin.extent == "onward"
    pairs = zip(trial.subject.sites, trial.plan.decisions, strict=True)
    planned = {site.node: d.tokens if onward else d.keep for site, d in pairs}
    for before, after in zip(_attentions(trial.subject.program), _attentions(trial.optimised), strict=True):
        keys = int(after.args[1].meta["val"].shape[-2])  # type: ignore[union-attr]
        assert keys == planned.get(before, keys), f"{after.name} sees {keys} tokens, not the planned:\n{trial.plan}"


def _attentions(program: Program) -> list[fx.Node]:
    return [node for node in program.graph.nodes if "scaled_dot_product_attention" in str(node.target)]
