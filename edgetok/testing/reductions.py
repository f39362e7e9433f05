"""The kit's own reductions: identity, random, and one that watches another."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from edgetok.plugin import TokenReduction

if TYPE_CHECKING:
    from torch import Tensor

    from edgetok.graph import TokenMap
    from edgetok.graph.scope import Extent
    from edgetok.graph.signals import Signals
    from edgetok.graph.site import Site


class _Reaching(TokenReduction):
    """A reduction that reaches as far as it is told."""

    reaches: Literal["onward", "attention", "keys"] = "onward"

    @property
    def extent(self) -> Extent:  # type: ignore[override]
        """As far as another one does."""
        return self.reaches


class Identity(_Reaching):
    """A forced identity map: all the machinery of a reduction, and every token stays where it is."""

    name: ClassVar[str] = "identity"
    summary: ClassVar[str] = "Keep every token, through a map."
    paper: ClassVar[str] = "none"

    weigh: bool = True

    @property
    def proportional(self) -> bool:  # type: ignore[override]
        """Whether attention gets the size bias, here log 1."""
        return self.weigh

    def keep(self, site: Site, tokens: int) -> int:
        """All of them."""
        return tokens

    def reduce(self, signals: Signals, keep: int) -> TokenMap:
        """Token i to token i."""
        import torch

        from edgetok.graph import TokenMap

        hidden = signals.hidden
        ids = torch.arange(keep, device=hidden.device)
        return TokenMap.pruning(ids.expand(hidden.shape[0], -1))


@dataclass(frozen=True)
class Watched:
    """One call of ``reduce`` with real tensors.

    Attributes:
        site: its name.
        tokens, protected: N, and how many at the front must stay.
        sizes: ``(B, N)`` before, 1 where nothing was merged yet, 0 for padding.
        map: what the plugin returned.
        changed: names of signals that the call changed in place.
    """

    site: str
    tokens: int
    protected: int
    sizes: Tensor
    map: TokenMap
    changed: tuple[str, ...]


@dataclass
class Watch:
    """Stands in for a reduction and notes what it is given and what it answers."""

    plugin: TokenReduction
    seen: list[Watched] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plugin, name)

    def reduce(self, signals: Signals, keep: int) -> TokenMap:
        """The plugin's own answer."""
        watched: dict[str, Tensor] = {"hidden": signals.hidden}
        if self.plugin.extent == "onward":
            watched["keys"] = signals.keys_per_head
        if signals.sizes is not None:
            watched["sizes"] = signals.sizes
        before = {name: tensor.clone() for name, tensor in watched.items()}
        token_map = self.plugin.reduce(signals, keep)
        changed = tuple(name for name, tensor in watched.items() if not tensor.equal(before[name]))
        sizes = before.get("sizes", signals.hidden.new_ones(signals.hidden.shape[:2]))
        self.seen.append(Watched(signals.site.name, signals.tokens, signals.protected, sizes, token_map, changed))
        return token_map


class Merge(TokenReduction):
    """Merges two pairs of tokens at every site: a reduction that uses every primitive, for trying exporters."""

    name: ClassVar[str] = "merge"
    summary: ClassVar[str] = "Merge two pairs of tokens."
    paper: ClassVar[str] = "none"

    def keep(self, site: Site, tokens: int) -> int:
        """Two fewer."""
        return tokens - 2

    def reduce(self, signals: Signals, keep: int) -> TokenMap:
        """The pairs with the most similar keys."""
        from edgetok.graph import TokenMap
        from edgetok.ops import bipartite_match

        sizes = signals.sizes if signals.padded else None
        return TokenMap(*bipartite_match(signals.keys, sizes, signals.tokens - keep, signals.protected, "kept"))


class RandomDrop(_Reaching):
    """As many tokens as another reduction leaves, picked at random: what a method has to beat."""

    name: ClassVar[str] = "random-drop"
    summary: ClassVar[str] = "Drop random tokens."
    paper: ClassVar[str] = "none"

    def reduce(self, signals: Signals, keep: int) -> TokenMap:
        """Pick by a fixed draw; padding goes first."""
        import torch

        from edgetok.graph import TokenMap
        from edgetok.ops import select_top

        draw = torch.rand(signals.tokens, generator=torch.Generator().manual_seed(signals.tokens))
        scores = draw.to(signals.hidden).expand(signals.hidden.shape[0], -1)
        if signals.real is not None:
            scores = scores.masked_fill(~signals.real, -1.0)
        return TokenMap.pruning(select_top(scores, keep, signals.protected))
