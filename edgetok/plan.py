"""The plan: what will be done where, and why not elsewhere; numbers only, made before any weight is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from edgetok.errors import BadSchedule, NothingToRewrite
from edgetok.plugin import API_VERSION, TokenReduction

if TYPE_CHECKING:
    from edgetok.graph import Program, Site, Step
    from edgetok.plugin import Plugin
    from edgetok.target import Target


class Decision(BaseModel):
    """One plugin at one attention site: tokens before and after, or the reason why nothing happens."""

    model_config = ConfigDict(frozen=True)

    site: str
    space: int
    plugin: str
    tokens: int
    keep: int
    refusal: str | None = None
    note: str | None = None


class Plan(BaseModel):
    """What will be done to one component.

    Attributes:
        component: its name.
        target: where it will run.
        plugins: names, in the order they act.
        decisions: every site considered by every plugin, in execution order.
        dense_tokens, tokens: tokens entering each attention of the space that is reduced most, then the final count.
        notes: what a user should know.
        digest: identifies the plan: the same recipe, model structure, target and API give the same digest.
    """

    model_config = ConfigDict(frozen=True)

    component: str
    target: str
    plugins: tuple[str, ...]
    decisions: tuple[Decision, ...]
    dense_tokens: tuple[int, ...]
    tokens: tuple[int, ...]
    notes: tuple[str, ...]
    digest: str

    def __str__(self) -> str:
        lines = [f"plan {self.digest[:12]} for {self.component!r} on {self.target}: {', '.join(self.plugins) or 'no plugins'}"]
        width = max((len(d.site) for d in self.decisions), default=0)
        for d in self.decisions:
            what = f"{d.tokens:>5} -> {d.keep:<5}" if d.refusal is None else f"{d.tokens:>5}  refused: {d.refusal}"
            lines.append(f"  {d.site:<{width}}  {d.plugin}  {what}{f'  ({d.note})' if d.note else ''}".rstrip())
        if self.tokens:
            lines.append(f"  tokens: {_row(self.dense_tokens)} dense")
            lines.append(f"          {_row(self.tokens)} planned")
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


def _row(tokens: Sequence[int]) -> str:
    return " ".join(map(str, tokens))


def make_plan(
    program: Program, sites: Sequence[Site], plugins: Sequence[Plugin], target: Target, *, strict: bool = True
) -> Plan:
    """Ask every plugin about every site.

    Args:
        program: the captured component; its weights may be fake.
        sites: its attention sites.
        plugins: in the order they act.
        target: where it will run.
        strict: whether a plugin that is refused everywhere is an error.

    Raises:
        NothingToRewrite: a plugin is refused everywhere.
        BadSchedule: a plugin wants an impossible number of tokens.
    """
    reductions = [p for p in plugins if isinstance(p, TokenReduction)]
    current: dict[int, int] = {}
    decisions: list[Decision] = []
    layers: dict[int, tuple[list[int], list[int]]] = {}
    for site in sites:
        dense, now = layers.setdefault(site.space.index, ([], []))
        dense.append(site.tokens)
        now.append(current.get(site.space.index, site.tokens))
        for plugin in reductions:
            decision = _decide(plugin, site, current.get(site.space.index, site.tokens))
            current[site.space.index] = decision.keep
            decisions.append(decision)
    for plugin in reductions if strict else ():
        _require_some_place(plugin, decisions)
    chosen = _most_reduced(layers, current)
    return Plan(
        component=program.name,
        target=target.name,
        plugins=tuple(p.name for p in plugins),
        decisions=tuple(decisions),
        dense_tokens=chosen[0],
        tokens=chosen[1],
        notes=program.notes,
        digest=_digest(program, plugins, target, decisions),
    )


def _decide(plugin: TokenReduction, site: Site, tokens: int) -> Decision:
    base = {"site": site.name, "space": site.space.index, "plugin": plugin.name, "tokens": tokens}
    refusal = plugin.refuses(site)
    if refusal is not None:
        return Decision(**base, keep=tokens, refusal=refusal)
    keep = plugin.keep(site, tokens)
    fixed = tokens - site.mergeable(tokens)
    if keep != tokens and not fixed < keep < tokens:
        raise BadSchedule(
            f"Plugin {plugin.name!r} wants to leave {keep} of {tokens} tokens at {site.name}.",
            why=f"{fixed} tokens must stay as they are and at least one other must be left",
            hint=f"Lower the strength; its options are {plugin.options()}.",
        )
    return Decision(**base, keep=keep, note=plugin.remark(site, tokens))


def _require_some_place(plugin: Plugin, decisions: Sequence[Decision]) -> None:
    own = [d for d in decisions if d.plugin == plugin.name]
    if any(d.refusal is None for d in own):
        return
    reasons = sorted({d.refusal for d in own if d.refusal})
    raise NothingToRewrite(
        f"Plugin {plugin.name!r} found no place to act.",
        why="; ".join(reasons) if reasons else "the model has no self-attention that the engine recognises",
        hint="`edgetok inspect MODEL` shows every attention site and what stands in the way.",
    )


def _most_reduced(layers: dict[int, tuple[list[int], list[int]]], final: dict[int, int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if not layers:
        return (), ()
    index = max(layers, key=lambda i: (sum(layers[i][0]) - sum(layers[i][1]), len(layers[i][0]), -i))
    dense, now = layers[index]
    return (*dense, dense[-1]), (*now, final.get(index, now[-1]))


def _digest(program: Program, plugins: Sequence[Plugin], target: Target, decisions: Sequence[Decision]) -> str:
    content = {
        "api": API_VERSION,
        "structure": structure(program),
        "plugins": [{"name": p.name, "options": p.options()} for p in plugins],
        "target": target.model_dump(mode="json", include={"name", "exporter", "realisations", "static_shapes", "options"}),
        "decisions": [d.model_dump(mode="json") for d in decisions],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def structure(program: Program) -> str:
    """A hash of a program's operations, shapes and wiring; weights do not matter."""
    symbols = program.labels.symbols
    lines = [f"{spec}" for spec in (*program.inputs, *program.outputs)]
    for node in program.graph.nodes:
        value = node.meta.get("val")
        shape = symbols.sizes(value.shape) if hasattr(value, "shape") else ""
        lines.append(f"{node.name} {node.op} {node.target} {node.args} {dict(node.kwargs)} {shape}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def steps_of(plan: Plan, sites: Sequence[Site], plugins: Sequence[Plugin]) -> list[Step]:
    """The reductions of a plan, ready for ``edgetok.graph.rewrite``; where no token goes, nothing is inserted."""
    from edgetok.graph import Step

    reductions = [p for p in plugins if isinstance(p, TokenReduction)]
    pairs = [(site, plugin) for site in sites for plugin in reductions]
    return [
        Step(site, plugin, decision.keep)
        for (site, plugin), decision in zip(pairs, plan.decisions, strict=True)
        if decision.keep < decision.tokens
    ]
