"""What edgetok sees in a model: token spaces, attention sites, anchors and refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from edgetok.plan import Plan, count_tokens
from edgetok.session.clock import Clock

if TYPE_CHECKING:
    from edgetok.graph import Program, Site
    from edgetok.progress import Progress
    from edgetok.recipe import Recipe


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class SpaceRow(_Part):
    """A token space: its size (0 where it may vary), its segments, and the factors it is a product of."""

    index: int
    tokens: int
    segments: tuple[int, ...]
    factors: tuple[str, ...]
    protected: int


class SiteRow(_Part):
    """An attention site: where it is, where a reduction would go in, or why none can."""

    name: str
    space: int
    tokens: int
    heads: int
    mask: str
    positions: bool
    grid: tuple[int, int] | None
    anchor: str | None
    obstacle: str | None


class Inspection(_Part):
    """The structure of one component, with the plan of the plugins asked for."""

    model: str
    component: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    operations: int
    spaces: tuple[SpaceRow, ...]
    sites: tuple[SiteRow, ...]
    unlabelled: tuple[str, ...]
    notes: tuple[str, ...]
    plan: Plan | None

    def __str__(self) -> str:
        lines = [f"{self.model}: component {self.component!r}, {self.operations} operations"]
        lines += [f"  in   {spec}" for spec in self.inputs] + [f"  out  {spec}" for spec in self.outputs]
        lines += [_space_line(space) for space in self.spaces]
        lines += [_site_line(site) for site in self.sites]
        lines += [f"no label rule: {op}" for op in self.unlabelled]
        lines += [f"note: {note}" for note in self.notes if self.plan is None]
        return "\n".join([*lines, str(self.plan)] if self.plan is not None else lines)


def _space_line(space: SpaceRow) -> str:
    segments = " | ".join(str(n or "any") for n in space.segments)
    product = f", {' x '.join(space.factors)}" if len(space.factors) > 1 else ""
    protected = f"{space.protected} protected{' in front of the longest segment' if space.protected else ''}"
    return f"space {space.index}: {space.tokens or 'any'} tokens ({segments}), {protected}{product}"


def _site_line(site: SiteRow) -> str:
    seen = [f"space {site.space}", f"{site.heads} heads", f"mask {site.mask}"]
    seen += [f"grid {site.grid[0]}x{site.grid[1]}"] if site.grid else []
    seen += ["positions"] if site.positions else []
    seen += [f"anchor {site.anchor}" if site.obstacle is None else f"refused: {site.obstacle}"]
    return f"  {site.name}  {', '.join(seen)}"


def inspect(recipe: Recipe, *, allow_network: bool = False, progress: Progress | None = None) -> Inspection:
    """Capture a model and describe it; reads no weights where the source allows.

    Raises:
        EdgetokError: as ``edgetok.session.optimize`` up to the plan.
    """
    from edgetok.progress import Silent
    from edgetok.session.prepare import find_tools, prepare

    clock = Clock(progress or Silent())
    prepared = prepare(recipe, find_tools(recipe), None, clock, allow_network=allow_network, strict=False)
    program, sites = prepared.program, prepared.sites
    spaces = {s.space.index: s for s in sites}
    return Inspection(
        model=prepared.model.name,
        component=program.name,
        inputs=tuple(_spec(s) for s in program.inputs),
        outputs=tuple(_spec(s) for s in program.outputs),
        operations=sum(node.op == "call_function" for node in program.graph.nodes),
        spaces=tuple(_space(program, site) for _, site in sorted(spaces.items())),
        sites=tuple(_site(program, site) for site in sites),
        unlabelled=_unlabelled(program),
        notes=program.notes,
        plan=prepared.plan if recipe.plugins else None,
    )


def _spec(spec: object) -> str:
    name, shape, dtype = (getattr(spec, field) for field in ("name", "shape", "dtype"))
    return f"{name} {dtype} ({', '.join(map(str, shape))})"


def _space(program: Program, site: Site) -> SpaceRow:
    space, symbols = site.space, program.labels.symbols
    return SpaceRow(
        index=space.index,
        tokens=count_tokens(program, site),
        segments=tuple(0 if symbols.factor(n)[1] else n for n in space.sizes),
        factors=tuple("any" if symbols.factor(f.size)[1] else str(f.size) for f in space.axis),
        protected=site.protected,
    )


def _site(program: Program, site: Site) -> SiteRow:
    return SiteRow(
        name=site.name,
        space=site.space.index,
        tokens=count_tokens(program, site),
        heads=site.heads,
        mask=site.mask.kind,
        positions=site.positions,
        grid=site.grid,
        anchor=site.anchor.name if site.anchor is not None else None,
        obstacle=site.obstacle,
    )


def _unlabelled(program: Program) -> tuple[str, ...]:
    return tuple(sorted(set(program.labels.unknown.values())))
