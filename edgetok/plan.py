"""The plan: what will be done where, and why not elsewhere; numbers only, made before any weight is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from edgetok.digest import plan_digest
from edgetok.errors import BadSchedule, EdgetokError, NothingToRewrite, PluginFailed
from edgetok.plugin import PrecisionPlugin, TokenReduction, WeightPlugin
from edgetok.weights import Place

if TYPE_CHECKING:
    from edgetok.graph import Program, Site, Step
    from edgetok.plugin import Plugin
    from edgetok.precision import Scheme
    from edgetok.target import Target


class Decision(BaseModel):
    """One plugin at one attention site: tokens before and after, or the reason why nothing happens.

    ``tokens`` and ``keep`` are 0 where the number of tokens may vary; nothing can be planned there.
    """

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
        precision: the scheme of quantisation, if any.
        weights: every place considered by plugins that rewrite weights.
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
    precision: str | None = None
    weights: tuple[Place, ...] = ()

    def __str__(self) -> str:
        plugins = ", ".join(self.plugins) or "no plugins"
        lines = [f"plan {self.digest[:12]} for {self.component!r} on {self.target}: {plugins}"]
        widths = [max((len(text) for text in column), default=0) for column in self._columns()]
        lines += [f"  {d.site:<{widths[0]}}  {d.plugin:<{widths[1]}}  {_outcome(d)}" for d in self.decisions]
        if self.tokens:
            lines.append(f"  tokens: {_row(self.dense_tokens)} dense")
            lines.append(f"          {_row(self.tokens)} planned")
        lines += [f"  {p.name}  {p.plugin}  {f'refused: {p.refusal}' if p.refusal else p.what}" for p in self.weights]
        if self.precision:
            lines.append(f"  precision: {self.precision}")
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])

    def _columns(self) -> tuple[list[str], list[str]]:
        return [d.site for d in self.decisions], [d.plugin for d in self.decisions]


def _outcome(decision: Decision) -> str:
    if decision.refusal is not None:
        return f"{decision.tokens or 'any':>5}  refused: {decision.refusal}"
    note = f"  ({decision.note})" if decision.note else ""
    return f"{decision.tokens:>5} -> {decision.keep}{note}"


def _row(tokens: Sequence[int]) -> str:
    return " ".join(str(n or "any") for n in tokens)


def make_plan(
    program: Program,
    sites: Sequence[Site],
    plugins: Sequence[Plugin],
    target: Target,
    *,
    scheme: Scheme | None = None,
    weights: Sequence[Place] = (),
    strict: bool = True,
) -> Plan:
    """Ask every plugin about every site.

    Args:
        program: the captured component; its weights may be fake.
        sites: its attention sites.
        plugins: in the order they act.
        target: where it will run.
        scheme: how the PRECISION plugin among them quantises on that target.
        weights: the places that WEIGHTS plugins found.
        strict: whether a plugin that does nothing is an error.

    Raises:
        NothingToRewrite: a plugin is refused everywhere, is capped to nothing, or is of a kind that does not act here.
        BadSchedule: a plugin wants an impossible number of tokens.
        PluginFailed: a plugin raised.
    """
    reductions = [p for p in plugins if isinstance(p, TokenReduction)]
    current: dict[int, int] = {}
    decisions: list[Decision] = []
    layers: dict[int, tuple[list[int], list[int]]] = {}
    for site in sites:
        known = count_tokens(program, site)
        dense, now = layers.setdefault(site.space.index, ([], []))
        dense.append(known)
        entering = known if site.separate else current.get(site.space.index, known)
        now.append(entering)
        for plugin in reductions:
            decision = _decide(plugin, site, entering)
            if plugin.extent == "onward":
                entering = decision.keep
            else:
                now[-1] = decision.keep
            decisions.append(decision)
        current[site.space.index] = entering
    for asked in plugins if strict else ():
        _require_some_place(asked, decisions, weights)
    chosen = _most_reduced(layers, current)
    return Plan(
        component=program.name,
        target=target.name,
        plugins=tuple(p.name for p in plugins),
        decisions=tuple(decisions),
        dense_tokens=chosen[0],
        tokens=chosen[1],
        notes=program.notes,
        precision=scheme,
        weights=tuple(weights),
        digest=plan_digest(program, plugins, target, decisions, scheme),
    )


def count_tokens(program: Program, site: Site) -> int:
    """Tokens entering a site in the dense program; 0 where their number may vary."""
    number, symbols = program.labels.symbols.factor(site.tokens)
    return 0 if symbols else number


def _decide(plugin: TokenReduction, site: Site, tokens: int) -> Decision:
    with _blaming(plugin, site):
        refusal = plugin.refuses(site)
        keep = tokens if refusal is not None else int(plugin.keep(site, tokens))
        note = None if refusal is not None else plugin.remark(site, tokens)
    fixed = tokens - site.mergeable(tokens)
    if keep != tokens and not fixed < keep < tokens:
        raise BadSchedule(
            f"Plugin {plugin.name!r} wants to leave {keep} of {tokens} tokens at {site.name}.",
            why=f"{fixed} tokens must stay as they are and at least one other must be left",
            hint=f"Lower the strength; its options are {plugin.options()}.",
        )
    return Decision(
        site=site.name,
        space=site.space.index,
        plugin=plugin.name,
        tokens=tokens,
        keep=keep,
        refusal=refusal,
        note=note,
    )


@contextmanager
def _blaming(plugin: Plugin, site: Site) -> Iterator[None]:
    """Tell whose fault it is when a plugin raises while it is asked."""
    try:
        yield
    except EdgetokError:
        raise
    except Exception as error:
        raise PluginFailed(
            f"Plugin {plugin.name!r} failed while it was asked about {site.name}.",
            why=f"{type(error).__name__}: {error}",
            hint="Report this to the plugin's author, with its options and the model's architecture.",
        ) from error


def _require_some_place(plugin: Plugin, decisions: Sequence[Decision], weights: Sequence[Place]) -> None:
    own = [d for d in decisions if d.plugin == plugin.name]
    places = [place for place in weights if place.plugin == plugin.name]
    if isinstance(plugin, PrecisionPlugin) or any(place.refusal is None for place in places):
        return
    if isinstance(plugin, WeightPlugin):
        why = "; ".join(sorted({p.refusal for p in places if p.refusal})) or "the model has no weights of its kind"
    elif not isinstance(plugin, TokenReduction):
        why = f"it acts in {', '.join(plugin.stages) or 'no stage'} without a class of that stage"
    elif all(d.refusal is not None for d in own):
        reasons = sorted({d.refusal for d in own if d.refusal})
        why = "; ".join(reasons) if reasons else "the model has no self-attention that the engine recognises"
    elif all(d.keep == d.tokens for d in own) and any(d.note for d in own):
        why = "; ".join(dict.fromkeys(d.note for d in own if d.note))
    else:
        return
    raise NothingToRewrite(
        f"Plugin {plugin.name!r} found no place to act.",
        why=why,
        hint="`edgetok inspect MODEL` shows every attention site and what stands in the way.",
    )


def _most_reduced(
    layers: dict[int, tuple[list[int], list[int]]], final: dict[int, int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if not layers:
        return (), ()
    index = max(layers, key=lambda i: (sum(layers[i][0]) - sum(layers[i][1]), len(layers[i][0]), -i))
    dense, now = layers[index]
    return (*dense, dense[-1]), (*now, final.get(index, now[-1]))


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
