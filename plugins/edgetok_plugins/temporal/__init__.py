"""``temporal``: merge or drop what a frame repeats of the one before, for video encoders."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from edgetok.hookspecs import hookimpl
from edgetok.proportional import PropAttn, Proportional
from edgetok_plugins.temporal.clips import Clips

if TYPE_CHECKING:
    from torch import Tensor

    from edgetok.graph.signals import Signals
    from edgetok.graph.site import Site
    from edgetok.graph.tokens import TokenMap

api_version = "1"


class Temporal(Proportional):
    """Reduce tokens between frames, where attention spans frames x positions at once.

    ``how=merge`` joins neighbouring clips, which are frames at first, two by two, as TempMe does: the ``share`` of the
    later clip's tokens that are most similar to one of the earlier clip merge into it (mean weighted by size), and
    the two become one clip, which the next of ``layers`` joins again. ``how=drop`` compares each token with the one
    at its place in the frame before, and drops the ``share`` that changed least, as the static form of
    TimeChat-Online's DTD does; the first frame stays whole. ``how=density`` cuts the frames into segments of
    ``segment`` frames and, as FastVID does, lets density peaks of each stand for the rest of it: with ``d_ij`` the
    Euclidean distance of two tokens over the root of the number of channels, a token's density is ``exp(-mean d^2)`` to
    its 4 nearest, and tokens rank by density times the distance to the nearest token that is denser. All but the
    ``share`` that ranks lowest are anchors, and each of the others merges into the most similar anchor of its segment.
    Similarity is the cosine of the hidden states after the attention. Attention adds ``log size`` to its scores.

    Departures: TempMe trains adapters, joins 2, 2 and 3 clips whose class tokens it keeps, and merges within a clip as
    well (give another plugin for that); here is what needs no training. DTD acts on the input, and compares with the
    frame before as it was, which is the same thing at the first reduction. FastVID cuts where neighbouring frames
    differ most, so that the lengths of its segments depend on the data, and no file of fixed shapes can hold them: here
    all are equally long. It reduces what a language model gets of the encoder, keeps the tokens that the attention of
    the pooling head singles out beside the anchors (that head comes after the encoder, so inside it there is no such
    attention), takes anchors from every fourth frame alone, and weighs an anchor more than what merges into it; here
    anchors lie anywhere in the segment, groups become their mean weighted by size, and padding is refused.
    Clips and segments are compared within themselves: cost grows with the number of frames, not with its square. An
    odd clip, or frames that make no whole segment, are left at the end as they are.

    Frames are read from the labels: patches made of time x height x width. Where a model makes them otherwise, as one
    axis of frames times positions, say how many in ``frames``. Attention that has frames in its batch is refused.
    """

    name: ClassVar[str] = "temporal"
    summary: ClassVar[str] = "Merge or drop what frames repeat, in video encoders with joint space-time attention."
    paper: ClassVar[str] = (
        "TempMe: Video Temporal Token Merging for Efficient Text-Video Retrieval (ICLR 2025), "
        "https://arxiv.org/abs/2409.01156"
    )
    changes: ClassVar[tuple[str, ...]] = ("token-count", "attention")

    how: Literal["merge", "drop", "density"] = Field(
        default="merge",
        description="Merge into the earlier clip, drop what changed least, or merge into a segment's density peaks.",
    )
    share: float = Field(
        default=0.5,
        ge=0.0,
        lt=1.0,
        description="Share of a later clip's tokens that merge, of all tokens but the first frame's that drop, or of a "
        "segment's tokens that merge into its density peaks.",
        json_schema_extra={"search": {"low": 0.0, "high": 0.9}},
    )
    layers: tuple[int, ...] = Field(
        default=(),
        description="Layers after whose attention it acts, from 0, as [2,5]; empty for the one at a quarter of the "
        "depth. Dropping and merging by density act at the first of them only.",
    )
    segment: int = Field(default=4, ge=1, description="Frames in each segment, for density.")
    frames: int = Field(
        default=0, ge=0, description="Frames in the sequence, where the labels do not show them; 0 reads the labels."
    )
    prop_attn: PropAttn = True

    @field_validator("layers")
    @classmethod
    def _ascending(cls, layers: tuple[int, ...]) -> tuple[int, ...]:
        if any(layer < 0 for layer in layers) or list(layers) != sorted(set(layers)):
            raise ValueError(f"layers count from 0 and ascend, got {layers}")
        return layers

    def refuses(self, site: Site) -> str | None:
        """Tokens must be frames x positions, at least two frames of them."""
        if site.obstacle is not None:
            return site.obstacle
        frames = self._frames(site)
        if frames < 2:
            return "its tokens are not known to be frames x positions; if they are, say how many with frames=..."
        free = site.mergeable(site.tokens)
        if free % frames:
            return f"its {free} tokens are no whole number of {frames} frames"
        if self.how == "density" and site.mask.kind == "padding":
            return "it has padding, among which density has no meaning"
        return None

    def _frames(self, site: Site) -> int:
        factors = site.space.segments[site.space.main]
        return self.frames or (int(factors[0].size) if len(factors) == 3 else 0)

    def _clips(self, site: Site) -> Clips | None:
        """The clips that a layer joins, if it does; from the options alone, as if nothing else acted."""
        layers = self.layers or (site.count // 4,)
        if site.index not in layers:
            return None
        frames = self._frames(site)
        clips = Clips.of(site.mergeable(site.tokens), frames)
        for _ in range(layers.index(site.index)):
            clips = clips.joined(self.share)
        return clips

    def keep(self, site: Site, tokens: int) -> int:
        """What joining pairs of clips, or dropping, leaves."""
        clips, free = self._clips(site), site.mergeable(tokens)
        if clips is None or clips.tokens != free:
            return tokens
        if self.how != "merge" and site.tokens != tokens:
            return tokens
        if self.how == "drop":
            return tokens - int(self.share * (free - clips.size))
        if self.how == "density":
            segments = clips.segments(self.segment)
            return tokens - segments.count * segments.merged(self.share)
        return tokens - free + clips.joined(self.share).tokens

    def remark(self, site: Site, tokens: int) -> str | None:
        """Where a layer does nothing, since frames can no longer be told apart."""
        clips = self._clips(site)
        if clips is not None and clips.tokens != site.mergeable(tokens):
            return "frames cannot be told apart any more: another reduction acted before"
        if clips is None:
            return None
        found, parts = (clips.segments(self.segment), "segments") if self.how == "density" else (clips, "clips")
        return f"{found.count} {parts} of {found.size} tokens"

    def reduce(self, signals: Signals, keep: int) -> TokenMap:
        """Join pairs of clips, drop what changed least, or merge into density peaks."""
        clips = self._clips(signals.site)
        assert clips is not None, "keep() leaves other layers alone"
        if self.how == "density":
            return self._gather(signals, clips.segments(self.segment))
        return self._drop(signals, clips, keep) if self.how == "drop" else self._join(signals, clips)

    def _gather(self, signals: Signals, segments: Clips) -> TokenMap:
        from edgetok.graph.tiles import Tiles, tiled
        from edgetok.graph.tokens import TokenMap
        from edgetok.ops import match_among, rank_top
        from edgetok_plugins.temporal.density import prominence

        merged = segments.merged(self.share)

        def match(metric: Tensor, sizes: Tensor | None) -> TokenMap:
            ranked = rank_top(prominence(metric), segments.size, 0)
            anchors, others = ranked[:, : segments.size - merged], ranked[:, segments.size - merged :]
            return TokenMap(*match_among(metric, sizes, others, anchors, merged))

        tiles = Tiles(signals.protected, segments.size, segments.count)
        return tiled(signals.tokens, tiles, signals.hidden, None, match)

    def _join(self, signals: Signals, clips: Clips) -> TokenMap:
        import torch

        from edgetok.graph.tiles import Tiles, tiled
        from edgetok.graph.tokens import TokenMap
        from edgetok.ops import match_among

        def match(metric: Tensor, sizes: Tensor | None) -> TokenMap:
            ids = torch.arange(2 * clips.size, device=metric.device).expand(metric.shape[0], -1)
            later, earlier = ids[:, clips.size :], ids[:, : clips.size]
            return TokenMap(*match_among(metric, sizes, later, earlier, clips.merged(self.share)))

        tiles = Tiles(signals.protected, 2 * clips.size, clips.count // 2)
        return tiled(signals.tokens, tiles, signals.hidden, signals.sizes if signals.padded else None, match)

    @staticmethod
    def _drop(signals: Signals, clips: Clips, keep: int) -> TokenMap:
        import torch

        from edgetok.graph.tokens import TokenMap
        from edgetok.ops import select_top
        from edgetok.ops.layout import unit

        free = unit(signals.hidden[:, signals.protected :].float())
        change = 1 - (free[:, clips.size :] * free[:, : -clips.size]).sum(-1)
        never = torch.full_like(signals.hidden[:, : signals.protected + clips.size, 0].float(), 4.0)
        scores = torch.cat([never, change], 1)
        if signals.real is not None:
            scores = scores * signals.real
        return TokenMap.pruning(select_top(scores, keep, signals.protected))


@hookimpl
def edgetok_plugins() -> list[type[Temporal]]:
    """Register the plugin."""
    return [Temporal]
