"""From a recipe to a plan: everything that is known before a weight is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, replace
from io import StringIO
from typing import TYPE_CHECKING

from edgetok import requirements
from edgetok.errors import BadCommand, BrokenWeights, DigestMismatch, ParityFailed, UnsupportedModel
from edgetok.options import build
from edgetok.order import order
from edgetok.plan import Plan, make_plan, steps_of
from edgetok.plugin import WeightPlugin
from edgetok.registry import installed
from edgetok.session.interface import is_executable
from edgetok.session.pictures import with_normalisation
from edgetok.session.precision import Chosen, check_rounding, choose
from edgetok.session.refusals import refuse_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel
    from torch import Tensor, nn

    from edgetok.exporter import Exporter
    from edgetok.graph import Program, Site, Step
    from edgetok.lowering import Forecast
    from edgetok.model import Component, Model
    from edgetok.plugin import Plugin
    from edgetok.recipe import Recipe
    from edgetok.session.clock import Clock
    from edgetok.target import Target
    from edgetok.weights import Place


@dataclass(frozen=True)
class Tools:
    """What a recipe names, found and configured."""

    target: Target
    exporter: Exporter
    options: BaseModel
    plugins: tuple[Plugin, ...]
    precision: Chosen | None = None


@dataclass(frozen=True)
class Prepared:
    """A recipe, its tools, and a plan for the captured model. Weights may still be fake.

    ``forecast`` is what the target makes of the rewritten program, where that was asked before the weights were read.
    """

    recipe: Recipe
    tools: Tools
    model: Model
    component: Component
    program: Program
    sites: tuple[Site, ...]
    plan: Plan
    forecast: Forecast | None = None

    @property
    def steps(self) -> list[Step]:
        """The reductions to insert."""
        return steps_of(self.plan, self.sites, self.tools.plugins)


def find_tools(
    recipe: Recipe, plugins: Sequence[Plugin] | None = None, *, target: Target | None = None, checked: bool = True
) -> Tools:
    """Look up plugins, target and exporter; nothing heavy is imported.

    ``target`` is taken in place of the recipe's. ``checked`` asks whether the target runs the precision that the
    plugins and the exporter's options want.

    Raises:
        UnknownPlugin, UnknownTarget, BadOption: a name or an option is wrong.
        TagConflict, OrderCycle: the plugins do not go together.
        TargetRefuses: the target does not run the precision they ask for, or rounds no inputs where that is asked for.
        ExportFailed: options of the exporter do not go with the target.
    """
    registry = installed()
    chosen = list(plugins) if plugins is not None else [registry.plugin(u.name, u.options) for u in recipe.plugins]
    target = target or registry.target(recipe.target)
    exporter = registry.exporter(target.exporter)
    options = build(exporter.Options, {**target.options, **recipe.exporter}, f"exporter {exporter.name!r}")
    if checked:
        check_rounding(options, target)
    tools = Tools(
        target, exporter, options, tuple(order(chosen, recipe.pins)), choose(chosen, target) if checked else None
    )
    if checked:
        refuse_options(tools)
    return tools


def prepare(
    recipe: Recipe,
    tools: Tools,
    model: Model | None,
    clock: Clock,
    *,
    allow_network: bool = False,
    strict: bool = True,
) -> Prepared:
    """Load, capture and plan; ``strict`` as in ``make_plan``.

    Raises:
        FindError: the model cannot be loaded.
        CaptureFailed: ``torch.export`` cannot capture it.
        PlanError: the plugins have no place in it.
        DigestMismatch: the recipe is resolved, and this is not the plan it was resolved to.
    """
    with clock.stage("load"), seeded(recipe.seed):
        from edgetok.sources import load_model

        found = load_model(recipe.model, allow_network=allow_network) if model is None else model
    if len(found.components) != 1:
        raise BadCommand(
            f"{found.name!r} has {len(found.components)} components: {', '.join(found.components)}.",
            why="this version optimises models of one component",
            hint="Load the component you want by a factory of your own: package.module:factory.",
        )
    component = found.only
    check_plain(component)
    options = with_normalisation(tools.options, recipe.eval.preprocessing or found.preprocessing)
    tools = replace(tools, options=options)
    with clock.stage("capture"):
        from edgetok.graph import capture, find_sites

        add_label_rules()
        with redirect_stderr(StringIO()):  # torch prints the graph of what it cannot capture
            program = capture(component)
    with clock.stage("plan"):
        sites = tuple(find_sites(program))
        scheme = tools.precision.scheme if tools.precision else None
        places = _places(tools.plugins, component)
        plan = make_plan(program, sites, tools.plugins, tools.target, scheme=scheme, weights=places, strict=strict)
    if recipe.plan_digest not in (None, plan.digest):
        raise DigestMismatch(
            "This recipe now gives another plan than the one it recorded.",
            why=f"recorded {recipe.plan_digest}, now {plan.digest}: the model, a plugin, the target or edgetok changed",
            hint="Remove plan_digest from the recipe to accept the new plan.",
        )
    return Prepared(recipe, tools, found, component, program, sites, plan)


def _places(plugins: Sequence[Plugin], component: Component) -> list[Place]:
    weights = [plugin for plugin in plugins if isinstance(plugin, WeightPlugin)]
    return [place for plugin in weights for place in plugin.places(component)]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Make torch's randomness inside the block repeatable, and leave the caller's as it was."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def check_plain(component: Component) -> None:
    """Refuse what cannot be the fp32 reference on a CPU.

    Raises:
        UnsupportedModel: weights or inputs are in half precision, or on an accelerator.
    """
    tensors = [*component.module.named_parameters(), *_plain_buffers(component.module), *component.inputs.items()]
    for name, tensor in tensors:
        dtype = str(tensor.dtype).removeprefix("torch.")
        if dtype.startswith(("float16", "bfloat16", "float8")) or tensor.device.type != "cpu":
            raise UnsupportedModel(
                f"{type(component.module).__name__} is no fp32 model on the CPU.",
                why=f"{name} is {dtype} on {tensor.device}",
                hint="model.float().cpu(), and inputs likewise; the file's own dtype is exporter.dtype (fp16).",
            )


def _plain_buffers(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Buffers, except for those beside packed codes: scales in half precision are part of a packed weight."""
    for path, owner in module.named_modules():
        own = dict(owner.named_buffers(recurse=False))
        if not any(str(buffer.dtype) == "torch.uint8" for buffer in own.values()):
            yield from ((f"{path}.{name}", buffer) for name, buffer in own.items())


def add_label_rules() -> None:
    """Let installed distributions add label rules, once."""
    from edgetok.graph.labels import rule

    if not _added:
        _added.append(True)
        installed().add_label_rules(rule)


_added: list[bool] = []


def check_installed(tools: Tools, recipe: Recipe) -> None:
    """Refuse a target whose packages are not here, or whose files nothing here can execute, before any work.

    Raises:
        MissingExtra, TargetRefuses: it needs something that is not here.
        ParityFailed: its files cannot be proven here, and the recipe does not allow that.
    """
    target = tools.target
    requirements.require(target)
    if not is_executable(target) and not recipe.parity.allow_failure:
        raise ParityFailed(
            f"Files for target {target.name!r} cannot be proven on this machine.",
            why=f"nothing here executes them: they are {target.proof} only",
            hint="Deliver them all the same with --allow-parity-failure; the report will say that nothing was proven.",
        )


def with_weights(prepared: Prepared) -> Prepared:
    """The same with real parameters, read now where capture worked on fake ones.

    Raises:
        BrokenWeights: a weight is missing or has another shape.
    """
    if prepared.component.weights is None:
        return prepared
    given = prepared.component.weights()
    state = {}
    for name, expected in prepared.program.exported.state_dict.items():
        found = given.get(name)
        if found is None or found.shape != expected.shape:
            raise BrokenWeights(
                f"The weights do not fit the model: {name}.",
                why=_misfit(found, expected),
            )
        state[name] = found
    return replace(prepared, program=prepared.program.with_state(state))


def _misfit(found: Tensor | None, expected: Tensor) -> str:
    return "it is missing" if found is None else f"shape {tuple(found.shape)}, expected {tuple(expected.shape)}"
