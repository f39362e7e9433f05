"""Attention sites: where token reductions go in, or why they cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from torch import fx

from edgetok.graph import factors, obstacles
from edgetok.graph.dependence import attended, data_inputs, feature_nodes, meets_positions
from edgetok.graph.factors import Axis, Factor
from edgetok.graph.labels import Labels
from edgetok.graph.masks import Mask
from edgetok.graph.nodes import ancestors, op_name
from edgetok.graph.normalise import understand_masks
from edgetok.graph.program import Program
from edgetok.graph.samples import is_sample
from edgetok.graph.scope import CONFINED, Extent, Finder
from edgetok.graph.space import Space

ATTENTION = "scaled_dot_product_attention"


@dataclass(frozen=True)
class Site:
    """One self-attention of a token space.

    Attributes:
        name: the module it belongs to, e.g. ``vit.encoder.layer.3.attention``.
        index: its place among the sites of its space, from 0.
        count: how many sites the space has.
        space: the token space.
        tokens: tokens entering it in the dense program.
        protected: tokens at the front that carry a meaning of their own (class, distillation, registers).
        heads: the number of attention heads.
        mask: what its mask does.
        positions: whether values that say *where* a token is (rotations, position biases) meet the tokens after
            the first attention of the space.
        separate: whether its tokens are another stream than those of the sites before it (one encoder run twice).
        obstacle: why the engine cannot follow a reduction from here; ``None`` when it can.
        confined: why the engine cannot follow a reduction that reaches this attention, or its keys, alone.
        grid: ``(height, width)`` of the main segment where the labels show it as a product of two factors.
        node, anchor: the attention and the residual add that follows it, in the program's graph.
    """

    name: str
    index: int
    count: int
    space: Space
    tokens: int
    protected: int
    heads: int
    mask: Mask
    positions: bool
    obstacle: str | None
    grid: tuple[int, int] | None
    node: fx.Node = field(repr=False)
    anchor: fx.Node | None = field(repr=False)
    batch: Axis = field(repr=False, default=())
    separate: bool = False
    confined: Mapping[Extent, str | None] = field(repr=False, default_factory=dict)

    def obstacle_to(self, extent: Extent) -> str | None:
        """Why the engine cannot follow a reduction of that extent here; ``None`` when it can."""
        return self.obstacle if extent == "onward" else self.confined.get(extent)

    def mergeable(self, tokens: int) -> int:
        """How many of ``tokens`` tokens may be merged or dropped: all but the protected and the trailing ones."""
        return tokens - self.protected - self.space.trailing


def find_sites(program: Program) -> list[Site]:
    """All self-attention sites of a program in execution order, with their obstacles."""
    finder = _Finder(program)
    spaces = finder.spaces()
    sites = [finder.site(node, space, spaces) for node, space in spaces.items()]
    return [_with_obstacles_of_others(site, sites) for site in sites]


def _with_obstacles_of_others(site: Site, sites: list[Site]) -> Site:
    own = [other for other in sites if other.space is site.space]
    site = replace(site, separate=site.index > 0 and site.node not in _after(own[0].node))
    return site if site.obstacle is not None else replace(site, obstacle=obstacles.of_others(site, own))


def module_of(node: fx.Node) -> str:
    """The path of the innermost module a node came from."""
    lineage = node.meta.get("custom", {}).get("edgetok", {})
    if "module" in lineage:
        return str(lineage["module"])
    stack = node.meta.get("nn_module_stack") or {}
    return next((path for path, _ in reversed(list(stack.values())) if path), "")


class _Finder:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.labels: Labels = program.labels
        self.masks = understand_masks(program)
        self.data = data_inputs(program.graph, program.placeholders.values())
        self.features = feature_nodes(program.graph, self.data)
        given = [n for n, names in self.data.items() if n.op == "placeholder" and names and self.labels.has(n)]
        axes = [factors.ids(axis) for node in given for axis in self.labels.axes(node)]
        self.input_axes = {axis[0] for axis in axes if len(axis) == 1}

    def spaces(self) -> dict[fx.Node, Space]:
        """The token space of every self-attention."""
        known: dict[tuple[int, ...], Space] = {}
        out = {}
        for node in self.masks:
            query, key = (self.labels.axes(a)[-2] for a in node.args[:2])  # type: ignore[arg-type]
            if query and factors.ids(query) == factors.ids(key):
                axis = factors.resolve(key)
                space = known.setdefault(factors.ids(axis), Space(len(known), axis, tuple(factors.leaves(axis))))
                out[node] = space
        return out

    def site(self, node: fx.Node, space: Space, spaces: dict[fx.Node, Space]) -> Site:
        """Everything known about one self-attention."""
        own = [n for n, s in spaces.items() if s is space]
        anchor = self.anchor(node, space)
        lead = [f for axis in self.labels.axes(node.args[0])[:-2] for f in axis]  # type: ignore[arg-type]
        samples, beside = self.samples(lead, anchor, space, spaces), self.beside(lead, anchor)
        heads = [f for f in lead if "channel" in f.tags and f not in beside]
        return Site(
            name=module_of(node) or node.name,
            index=own.index(node),
            count=len(own),
            space=space,
            tokens=space.tokens,
            protected=space.protected,
            heads=factors.size(heads),
            mask=self.masks[node],
            positions=self.has_positions(space, own),
            obstacle=self.obstacle(node, space, anchor, [f for f in lead if f not in samples]),
            grid=_grid(space),
            node=node,
            anchor=anchor,
            batch=tuple(f for f in lead if f not in heads),
            confined={extent: self.within(node, space, extent, lead) for extent in CONFINED},
        )

    def samples(
        self, lead: list[Factor], anchor: fx.Node | None, space: Space, spaces: dict[fx.Node, Space]
    ) -> list[Factor]:
        """The factors of a batch whose entries are samples of their own."""
        after, every = _after(anchor), set(spaces.values())
        whole = [f for f in lead if f.id in self.input_axes]
        return [f for f in whole if is_sample(f, after, space, every, self.labels)]

    def beside(self, lead: list[Factor], anchor: fx.Node | None) -> list[Factor]:
        """The factors of a batch that are axes of an input, or parts of one, beside those of its features."""
        axes = self.labels.axes(anchor)[:-1] if anchor is not None else ()
        found = {i for axis in axes for i in factors.ids(axis)}
        return [f for f in lead if f.id in found and any(tag.startswith("input:") for tag in f.tags)]

    def within(self, node: fx.Node, space: Space, extent: Extent, lead: list[Factor]) -> str | None:
        """What stops the engine from following a reduction that is this attention's own."""
        mask = self.masks[node]
        reason = obstacles.of_tokens(space, lead, self.labels) or obstacles.of_mask(mask)
        if reason is not None or mask.kind == "padding":
            return reason or "its sequences are padded, and padding is not followed within one attention"
        if extent == "keys" and mask.kind != "none":
            return "values are added to its scores, which cannot lose columns alone"
        found = Finder(space, self.labels, self.features).find(node, extent)
        return found if isinstance(found, str) else None

    def anchor(self, site: fx.Node, space: Space) -> fx.Node | None:
        """The first add after the attention that joins its result with something its query was made from."""
        before, after = ancestors([site.args[0]]), {site}  # type: ignore[list-item]
        node = site.next
        while node.op != "output":
            if after & set(node.all_input_nodes):
                after.add(node)
                others = [a for a in node.all_input_nodes if a not in after]
                if op_name(node) == "add" and any(o in before and self.carries(o, space) for o in others):
                    return node if self.is_sequence(node, space) else None
            node = node.next
        return None

    def carries(self, node: fx.Node, space: Space) -> bool:
        """Whether a value carries the space on the features of tokens."""
        return node in self.features and self.labels.has(node) and space.carried_by(self.labels.axes(node))

    def is_sequence(self, node: fx.Node, space: Space) -> bool:
        """Whether a value is the features of all tokens of the space, and of nothing else."""
        found = space.occurrences(self.labels.axes(node)) if self.carries(node, space) else []
        return [(o.first, o.last) for o in found] == [(0, len(space.segments))]

    def has_positions(self, space: Space, own: list[fx.Node]) -> bool:
        """Whether values that are about tokens, not of them, meet the tokens between the space's attentions."""
        anchor = next((a for a in (self.anchor(n, space) for n in own) if a is not None), None)
        between = attended(self.program.graph, self.labels, space)
        return anchor is not None and any(
            (n in between or n in self.masks) and self._is_positional(n, space) for n in _after(anchor)
        )

    def _is_positional(self, node: fx.Node, space: Space) -> bool:
        if op_name(node) == ATTENTION:
            return self.masks[node].additive
        return meets_positions(node, space, self.labels, self.features)

    def obstacle(self, node: fx.Node, space: Space, anchor: fx.Node | None, lead: list[Factor]) -> str | None:
        """The first reason that stops the engine from following a reduction at this attention."""
        beside = self.beside(lead, anchor)
        reason = obstacles.of_tokens(space, lead, self.labels, beside) or obstacles.of_mask(self.masks[node])
        if reason is None and anchor is None:
            reason = "no residual add follows it that joins its result with its input"
        return reason or obstacles.of_graph(_after(anchor), space, self.labels)


def _grid(space: Space) -> tuple[int, int] | None:
    sizes = [f.size for f in space.segments[space.main]]
    return (sizes[0], sizes[1]) if len(sizes) == 2 else None


def _after(node: fx.Node | None) -> dict[fx.Node, None]:
    """All nodes that use a node, directly or not, in execution order."""
    reached, out = {node}, {}  # type: set[fx.Node | None], dict[fx.Node, None]
    for later in node.graph.nodes if node is not None else ():
        if later.op != "output" and any(a in reached for a in later.all_input_nodes):
            reached.add(later)
            out[later] = None
    return out
