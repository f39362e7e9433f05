"""What edgetok sees in a model: token spaces, attention sites, anchors and refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from edgetok.plan import Plan
from edgetok.session.clock import Clock

if TYPE_CHECKING:
    from edgetok.graph import Program, Site
    from edgetok.progress import Progress
    from edgetok.recipe import Recipe


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class SpaceRow(_Part):
    """A token space: its size, its segments, and the factors it is a product of."""

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
        for s in self.spaces:
            segments = " | ".join(map(str, s.segments))
            lines.append(
                f"space {s.index}: {s.tokens} tokens ({segments}), {s.protected} protected, {' x '.join(s.factors)}"
            )
        for row in self.sites:
            extra = f"grid {row.grid[0]}x{row.grid[1]}, " if row.grid else ""
            where = f"anchor {row.anchor}" if row.obstacle is None else f"refused: {row.obstacle}"
            lines.append(
                f"  {row.name}  space {row.space}, {row.heads} heads, {extra}mask {row.mask}, "
                f"{'positions, ' if row.positions else ''}{where}"
            )
        lines += [f"no label rule: {op}" for op in self.unlabelled]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join([*lines, str(self.plan)] if self.plan is not None else lines)


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
        spaces=tuple(_space(site) for _, site in sorted(spaces.items())),
        sites=tuple(_site(site) for site in sites),
        unlabelled=_unlabelled(program),
        notes=program.notes,
        plan=prepared.plan if recipe.plugins else None,
    )


def _spec(spec: object) -> str:
    name, shape, dtype = (getattr(spec, field) for field in ("name", "shape", "dtype"))
    return f"{name} {dtype} ({', '.join(map(str, shape))})"


def _space(site: Site) -> SpaceRow:
    space = site.space
    return SpaceRow(
        index=space.index,
        tokens=space.tokens,
        segments=space.sizes,
        factors=tuple(str(f.size) for f in space.axis),
        protected=site.protected,
    )


def _site(site: Site) -> SiteRow:
    return SiteRow(
        name=site.name,
        space=site.space.index,
        tokens=site.tokens,
        heads=site.heads,
        mask=site.mask.kind,
        positions=site.positions,
        grid=site.grid,
        anchor=site.anchor.name if site.anchor is not None else None,
        obstacle=site.obstacle,
    )


def _unlabelled(program: Program) -> tuple[str, ...]:
    return tuple(sorted(set(program.labels.unknown.values())))
