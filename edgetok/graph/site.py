"""Attention sites: where token reductions go in, or why they cannot."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from torch import fx

from edgetok.graph import factors
from edgetok.graph.dependence import data_inputs, feature_nodes
from edgetok.graph.factors import Axis
from edgetok.graph.labels import Labels, op_name
from edgetok.graph.masks import Mask
from edgetok.graph.normalise import understand_masks
from edgetok.graph.program import Program
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
        obstacle: why the engine cannot follow a reduction from here; ``None`` when it can.
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

    def mergeable(self, tokens: int) -> int:
        """How many of ``tokens`` tokens may be merged or dropped: all but the protected and the trailing ones."""
        return tokens - self.protected - self.space.trailing


def find_sites(program: Program) -> list[Site]:
    """All self-attention sites of a program in execution order, with their obstacles."""
    finder = _Finder(program)
    spaces = finder.spaces()
    sites = [finder.site(node, space, spaces) for node, space in spaces.items()]
    return [_with_later_obstacles(site, sites) for site in sites]


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
        return Site(
            name=module_of(node) or node.name,
            index=own.index(node),
            count=len(own),
            space=space,
            tokens=space.tokens,
            protected=space.protected,
            heads=factors.size(f for f in lead if "channel" in f.tags),
            mask=self.masks[node],
            positions=self.has_positions(space, own),
            obstacle=self.obstacle(node, space, anchor, lead),
            grid=_grid(space),
            node=node,
            anchor=anchor,
            batch=tuple(f for f in lead if "channel" not in f.tags),
        )

    def anchor(self, site: fx.Node, space: Space) -> fx.Node | None:
        """The first add after the attention that joins its result with something its query was made from."""
        before, after = _ancestors(site.args[0]), {site}  # type: ignore[arg-type]
        node = site.next
        while node.op != "output":
            if after & set(node.all_input_nodes):
                after.add(node)
                others = [a for a in node.all_input_nodes if a not in after]
                if op_name(node) == "add" and any(o in before and self.carries(o, space) for o in others):
                    return node if self.carries(node, space) else None
            node = node.next
        return None

    def carries(self, node: fx.Node, space: Space) -> bool:
        """Whether a value carries the space on the features of tokens."""
        return node in self.features and self.labels.has(node) and space.carried_by(self.labels.axes(node))

    def has_positions(self, space: Space, own: list[fx.Node]) -> bool:
        """Whether values that are about tokens, not of them, meet the tokens after the space's first attention."""
        anchor = next((a for a in (self.anchor(n, space) for n in own) if a is not None), None)
        return anchor is not None and any(self._is_positional(n, space) for n in _after(anchor))

    def _is_positional(self, node: fx.Node, space: Space) -> bool:
        if op_name(node) == ATTENTION:
            return self.masks[node].additive
        if node not in self.features:
            return False
        return any(
            a not in self.features
            and a.op != "placeholder"
            and self.labels.has(a)
            and space.carried_by(self.labels.axes(a))
            for a in node.all_input_nodes
        )

    def obstacle(self, node: fx.Node, space: Space, anchor: fx.Node | None, lead: Iterable[factors.Factor]) -> str | None:
        """The first reason that stops the engine from following a reduction at this attention."""
        symbols = self.labels.symbols
        folded = [f for f in lead if "channel" not in f.tags and "batch" not in f.tags and not symbols.is_symbolic(f.size)]
        if any(symbols.is_symbolic(f.size) for f in space.axis):
            return "its number of tokens is symbolic; capture the model with a fixed number of tokens"
        if folded:
            names = ", ".join(str(f) for f in folded)
            return f"its batch contains window or frame factors ({names}): one map per window would tear the grid apart"
        mask = self.masks[node].kind
        if mask in _MASK_OBSTACLES:
            return _MASK_OBSTACLES[mask]
        if anchor is None:
            return "no residual add follows it that joins its result with its input"
        return self._unfollowable(anchor, space)

    def _unfollowable(self, anchor: fx.Node, space: Space) -> str | None:
        for node in _after(anchor):
            if not any(self.labels.has(a) and space.carried_by(self.labels.axes(a)) for a in node.all_input_nodes):
                continue
            if node in self.labels.unknown:
                return f"no label rule for {self.labels.unknown[node]} ({node.name}), which touches its tokens later"
            if op_name(node) in ("softmax", "_softmax") and space.carried_by(self.labels.axes(node)[-1:]):
                return f"a softmax over its tokens ({node.name}) is not part of an attention the engine knows"
        return None


_MASK_OBSTACLES = {
    "causal": "its mask is causal: a merged token would see the future of its first part (a causal decoder)",
    "local": "its mask is a band: merged tokens have no single distance (local attention)",
    "pattern": "its mask is a fixed pattern that tokens would leave when they merge",
    "unknown": "its mask was not understood",
}


def _with_later_obstacles(site: Site, sites: list[Site]) -> Site:
    """A reduction reaches all later sites of its space: their masks are obstacles too."""
    if site.obstacle is not None:
        return site
    for other in sites:
        if other.space is site.space and other.index > site.index and other.mask.kind in _MASK_OBSTACLES:
            return replace(site, obstacle=f"a later attention ({other.name}) cannot follow: {_MASK_OBSTACLES[other.mask.kind]}")
    return site


def _grid(space: Space) -> tuple[int, int] | None:
    sizes = [f.size for f in space.segments[space.main]]
    return (sizes[0], sizes[1]) if len(sizes) == 2 else None


def _ancestors(node: fx.Node) -> set[fx.Node]:
    seen, stack = {node}, [node]
    while stack:
        for parent in stack.pop().all_input_nodes:
            if parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return seen


def _after(node: fx.Node) -> set[fx.Node]:
    """All nodes that use a node, directly or not."""
    seen, stack = set(), [node]
    while stack:
        for user in stack.pop().users:
            if user not in seen and user.op != "output":
                seen.add(user)
                stack.append(user)
    return seen
