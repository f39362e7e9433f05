"""Signals are what the attention of the site works with, on the tokens that there are."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgetok.errors import PluginFailed
from edgetok.graph import Step, TokenMap, find_sites, rewrite, run_rewritten
from edgetok.graph.signals import Signals
from edgetok.plugin import TokenReduction

B, N, C = 2, 10, 12


class Attending(nn.Module):
    """Attention with 3 heads of queries and ``kv`` heads of keys, its own scale, and heads laid out by ``folded``."""

    def __init__(self, kv: int = 3, scale: float | None = 0.7, folded: bool = False) -> None:
        super().__init__()
        self.kv, self.scale, self.folded = kv, scale, folded
        self.q, self.k, self.v = nn.Linear(C, C), nn.Linear(C, 4 * kv), nn.Linear(C, 4 * kv)

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return tuple(p(x).unflatten(-1, (-1, 4)).transpose(1, 2) for p in (self.q, self.k, self.v))

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(2):
            q, k, v = self.heads(x)
            options = {"scale": self.scale, "enable_gqa": self.kv != 3}
            if self.folded:
                q, k, v = (t.flatten(0, 1) for t in (q, k, v))
                y = F.scaled_dot_product_attention(q, k, v, scale=self.scale).reshape(-1, 3, N, 4)
            else:
                y = F.scaled_dot_product_attention(q, k, v, **options)
            x = x + y.transpose(1, 2).flatten(2)
        return x


class Keep(TokenReduction):
    """Keep the first tokens, and remember what there was to see: signals are about the moment of the reduction."""

    name: ClassVar[str] = "keep"
    summary: ClassVar[str] = "Keep the first tokens."
    paper: ClassVar[str] = "none"
    seen: ClassVar[list] = []

    wrong: int = 0

    def reduce(self, signals, keep: int) -> TokenMap:
        rows = {token: signals.attention_row(token) for token in (0, 4)}
        self.seen.append((signals, rows, signals.keys, signals.values_per_head))
        if self.wrong < 0:
            raise ValueError("nothing fits")
        return TokenMap.pruning(torch.arange(keep + self.wrong).expand(signals.hidden.shape[0], -1))


def watched(lab, module: nn.Module, x: Tensor) -> list:
    program = lab.capture(module, {"x": x})
    Keep.seen.clear()
    steps = [Step(site, Keep(), N - 3 * (i + 1)) for i, site in enumerate(find_sites(program))]
    run_rewritten(program, steps, {"x": x})
    return list(Keep.seen)


@pytest.mark.parametrize("options", [{}, {"kv": 1}, {"scale": None}, {"folded": True}], ids=str)
def test_heads_and_attention_are_those_of_the_model(lab, options):
    torch.manual_seed(0)
    module, x = Attending(**options), torch.randn(B, N, C)
    (first, rows, keys, values), (second, *_) = watched(lab, module, x)
    q, k, v = module.heads(x)
    torch.testing.assert_close(first.queries_per_head, q)
    torch.testing.assert_close(first.keys_per_head, k)
    torch.testing.assert_close(values, v)
    torch.testing.assert_close(keys, k.mean(1))
    scale = 0.5 if module.scale is None else module.scale
    weights = ((q @ k.transpose(-1, -2)) * scale).softmax(-1).mean(1)
    for token, row in rows.items():
        torch.testing.assert_close(row, weights[:, token])
    assert (first.tokens, second.tokens) == (N, N - 3)
    assert first.sizes is None
    assert second.sizes.tolist() == [[1.0] * (N - 3)] * B
    assert second.keys.shape == (B, N - 3, 4)
    assert first.hidden.shape == x.shape


def test_the_size_of_tokens_counts_only_where_attention_is_proportional(lab):
    torch.manual_seed(0)
    module, x = Attending(), torch.randn(B, N, C)
    site, heads = (
        find_sites(lab.capture(module, {"x": x}))[0],
        dict(zip(("query", "key"), module.heads(x), strict=False)),
    )
    sizes = torch.arange(1.0, N + 1).repeat(B, 1)
    sizes[:, -1] = 0.0
    first = Signals(site, x, None, N, 0, False, heads.__getitem__)
    real = replace(first, sizes=sizes.clamp(min=1.0))
    plain = first.attention_row(1)
    torch.testing.assert_close(real.attention_row(1, proportional=False), plain)
    assert bool((real.attention_row(1)[:, N - 2] > plain[:, N - 2]).all()), "a large token gets more"
    hidden = replace(first, sizes=sizes, padded=True).attention_row(1, proportional=False)
    assert hidden[:, -1].tolist() == [0.0] * B
    torch.testing.assert_close(hidden[:, :-1].sum(1), torch.ones(B))


def test_a_plugin_that_breaks_its_word_is_named(lab):
    program = lab.capture(Attending(), {"x": torch.randn(B, N, C)})
    site = find_sites(program)[0]
    with pytest.raises(PluginFailed, match="'keep' left 9 tokens"):
        rewrite(program, [Step(site, Keep(wrong=2), 7)])
    with pytest.raises(PluginFailed, match="nothing fits"):
        rewrite(program, [Step(site, Keep(wrong=-1), 7)])


def test_two_reductions_at_one_site(lab):
    program = lab.capture(Attending(), {"x": lab.twins_of(B, N, C, 3)})
    site = find_sites(program)[0]
    rewritten = rewrite(program, [Step(site, lab.twins, N - 2), Step(site, lab.backwards, N - 3)])
    torch.testing.assert_close(lab.run(rewritten)[0], lab.run(program)[0], rtol=1e-4, atol=1e-5)
