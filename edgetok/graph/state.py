"""The state of a token space while a program is re-traced: its versions, and the maps between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edgetok.graph.factors import Axis
from edgetok.graph.space import Occurrence, Space
from edgetok.graph.tokens import TokenMap

if TYPE_CHECKING:
    from edgetok.graph.scope import Scope

_HIDDEN = -3e4
"""Additive score of padding: finite, and far below any real score, in fp16 too."""


def score_of(sizes: Tensor, *, padded: bool, proportional: bool = True) -> Tensor:
    """``(batch, tokens)`` added to attention scores: the log of the sizes; padding (size 0) is hidden."""
    if not padded:
        return sizes.log()
    score = sizes.clamp_min(1.0).log() if proportional else torch.zeros_like(sizes)
    return torch.where(sizes > 0, score, _HIDDEN)


@dataclass
class Version:
    """One version of a space.

    Attributes:
        sizes: tokens per segment.
        map: the map from the version before; ``None`` for the first.
        weights: ``(batch, tokens)`` the number of original tokens each stands for, 0 for padding; ``None``: all ones.
        residual: what the reduction was applied to, ``(batch, old tokens, c)``: dropped tokens keep this value.
        drops: whether the map drops tokens.
    """

    sizes: tuple[int, ...]
    map: TokenMap | None = None
    weights: Tensor | None = None
    residual: Tensor | None = None
    drops: bool = False

    @property
    def tokens(self) -> int:
        """All tokens."""
        return sum(self.sizes)


@dataclass
class SpaceState:
    """A space's versions so far, and values derived from them once.

    Attributes:
        space: the token space.
        batch: the factors its maps vary over.
        padding: the user input that marks real tokens; empty where there is no padding.
        proportional: whether attention weighs a token by the number of tokens it stands for.
        versions: from the original tokens to the newest.
        scope: where a confined reduction runs; ``None`` for those that reach all that follows.
    """

    space: Space
    batch: Axis
    padding: str = ""
    proportional: bool = True
    versions: list[Version] = field(default_factory=list)
    scope: Scope | None = None
    _dest: dict[int, Tensor] = field(default_factory=dict)
    _bias: dict[int, Tensor] = field(default_factory=dict)

    @property
    def index(self) -> int:
        """What values know it by: the number of its space, or of its scope."""
        return self.space.index if self.scope is None else self.scope.index

    @property
    def of_keys(self) -> bool:
        """Whether keys and values alone have fewer tokens."""
        return self.scope is not None and self.scope.extent == "keys"

    @property
    def padded(self) -> bool:
        """Whether weights can be 0."""
        return bool(self.padding)

    @property
    def now(self) -> int:
        """The number of the latest version."""
        return len(self.versions) - 1

    def tokens(self, where: Occurrence, version: int) -> int:
        """Tokens at an occurrence."""
        return sum(self.versions[version].sizes[where.first : where.last])

    def start(self, where: Occurrence) -> int:
        """Where an occurrence starts; segments before the main one never change."""
        return sum(self.versions[0].sizes[: where.first])

    def map_for(self, where: Occurrence, version: int) -> TokenMap:
        """The map into ``version``, restricted to an occurrence."""
        full = self.versions[version].map
        assert full is not None
        start = self.start(where)
        stop = start + self.tokens(where, version)
        return full if (start, stop) == (0, self.versions[version].tokens) else full.window(start, stop)

    def weights_for(self, where: Occurrence, version: int) -> Tensor | None:
        """The weights of the tokens at an occurrence."""
        weights = self.versions[version].weights
        if weights is None:
            return None
        start, tokens = self.start(where), self.tokens(where, version)
        return weights if weights.shape[1] == tokens else weights[:, start : start + tokens]

    def push(self, token_map: TokenMap, residual: Tensor, keep: int) -> None:
        """Append the version that a map makes."""
        before = self.versions[-1]
        weights = before.weights
        if weights is None:
            weights = residual.new_ones(residual.shape[0], before.tokens)
        summed = token_map.reduce(weights.unsqueeze(-1), None, "sum").squeeze(-1)
        sizes = list(before.sizes)
        sizes[self.space.main] -= before.tokens - keep
        drops = keep + token_map.merged < before.tokens
        self.versions.append(Version(tuple(sizes), token_map, summed, residual, drops))

    def drops(self, version: int) -> bool:
        """Whether any map up to ``version`` drops tokens."""
        return any(v.drops for v in self.versions[: version + 1])

    def is_local(self, version: int) -> bool:
        """Whether any map up to ``version`` is better inverted on its own."""
        return any(v.map is not None and v.map.local for v in self.versions[: version + 1])

    def is_soft(self, version: int) -> bool:
        """Whether any map up to ``version`` mixes tokens."""
        return any(v.map is not None and v.map.soft for v in self.versions[: version + 1])

    def destinations(self, version: int) -> Tensor:
        """``(batch, original tokens)``: the token of ``version`` that stands for each original one."""
        if version not in self._dest:
            step = self.versions[version].map
            assert step is not None
            last = step.destinations(self.versions[version - 1].tokens)
            if version > 1:
                last = torch.ops.edgetok.compose(self.destinations(version - 1), last)
            self._dest[version] = last
        return self._dest[version]

    def bias(self, version: int) -> Tensor | None:
        """``(batch, tokens)`` added to attention scores: the log of the weights; padding is hidden."""
        weights = self.versions[version].weights
        if weights is None or not (self.proportional or self.padded):
            return None
        if version not in self._bias:
            self._bias[version] = score_of(weights, padded=self.padded, proportional=self.proportional)
        return self._bias[version]
