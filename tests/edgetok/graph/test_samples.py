"""Entries of a batch axis have maps of their own only where nothing mixes, picks or reorders them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgetok.graph import find_sites
from edgetok.graph.nodes import ancestors
from edgetok.graph.samples import is_sample
from edgetok.testing.blocks import Encoder

B, S, N, C = 2, 3, 8, 16
ORDER = torch.tensor([1, 2, 0])
WEIGHTS = torch.randn(S, S, generator=torch.Generator().manual_seed(0))


class Series(nn.Module):
    """Channels ``x (batch, series, tokens, C)`` through one encoder, each on its own until ``form`` says otherwise."""

    def __init__(self, form) -> None:
        super().__init__()
        self.form, self.encoder = form, Encoder(C, 2, 1)
        self.across = Encoder(C, 2, 1) if form is MIXED["attention"] else None
        self.second = Encoder(C, 2, 1) if form is APART["attention"] else None
        self.norm, self.linear = nn.LayerNorm(C), nn.Linear(C, C)
        self.batch = nn.BatchNorm2d(S)
        self.register_buffer("order", ORDER)
        self.register_buffer("weights", WEIGHTS)

    def forward(self, x: Tensor) -> Tensor:
        y = self.encoder(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        return self.form(self, y)


def along_series(y: Tensor, weights: Tensor) -> Tensor:
    return (y.transpose(1, 3) @ weights).transpose(1, 3)


def gathered(m: Series, y: Tensor) -> Tensor:
    return y.gather(1, m.order.view(1, S, 1, 1).expand(y.shape))


def linear_attention(m: Series, y: Tensor) -> Tensor:
    z = y.transpose(1, 2)
    return y + (z @ z.transpose(-1, -2) @ z).transpose(1, 2)


def normalised(m: Series, y: Tensor) -> Tensor:
    return F.rms_norm(y.permute(0, 2, 3, 1), (S,)).permute(0, 3, 1, 2)


def by_instance(m: Series, y: Tensor) -> Tensor:
    return F.instance_norm(y.permute(0, 2, 3, 1).flatten(0, 1)).unflatten(0, (y.shape[0], N)).permute(0, 3, 1, 2)


MIXED = {
    "attention": lambda m, y: m.across(y.transpose(1, 2).flatten(0, 1)),
    "mean": lambda m, y: y.mean(1),
    "max": lambda m, y: y + y.amax(1, keepdim=True),
    "softmax": lambda m, y: y.softmax(1),
    "cumsum": lambda m, y: y.cumsum(1),
    "one": lambda m, y: y[:, 0],
    "others": lambda m, y: torch.stack([*y.unbind(1)[1:], y[:, 0]], 1),
    "flip": lambda m, y: y.flip(1) + y,
    "roll": lambda m, y: y.roll(1, 1) + y,
    "cat": lambda m, y: y + torch.cat([y[:, 1:], y[:, :1]], 1),
    "index": lambda m, y: y + y[:, m.order],
    "index_select": lambda m, y: y + y.index_select(1, m.order),
    "index_add": lambda m, y: y.index_add(1, m.order, y),
    "index_copy": lambda m, y: y + torch.zeros_like(y).index_copy(1, m.order, y),
    "gather": lambda m, y: y + gathered(m, y),
    "sort": lambda m, y: y + y.sort(1).values,
    "pad": lambda m, y: y + F.pad(y, (0, 0, 0, 0, 1, -1)),
    "linear": lambda m, y: F.linear(y.transpose(1, 3), m.weights).transpose(1, 3),
    "linear, residual": lambda m, y: y + F.linear(y.transpose(1, 3), m.weights).transpose(1, 3),
    "matmul": lambda m, y: y + along_series(y, m.weights),
    "matmul, left": lambda m, y: y + (m.weights @ y.flatten(2)).unflatten(2, (N, C)),
    "einsum": lambda m, y: y + torch.einsum("ij,bjnc->binc", m.weights, y),
    "convolution": lambda m, y: y + F.conv2d(y, m.weights[:, :, None, None]),
    "linear attention": linear_attention,
    "pairs": lambda m, y: y[:, :, None] * y[:, None],
    "rms_norm": normalised,
    "instance_norm": by_instance,
}


@pytest.mark.parametrize("form", ["attention", "linear, residual", "index_select"])
def test_samples_that_meet_while_they_have_tokens_are_refused(lab, form):
    """Their maps would differ where their tokens meet."""
    sites = find_sites(lab.capture(Series(MIXED[form]), {"x": torch.randn(B, S, N, C)}))
    assert all("window or frame" in site.obstacle for site in sites if site.tokens == N)


def test_no_operation_that_mixes_samples_is_taken_to_keep_them_apart(lab):
    """All of them in one program, each output judged by what it is made of."""
    forms = {name: form for name, form in MIXED.items() if name != "attention"} | {"nothing": lambda m, y: y * 2}
    program = lab.capture(Series(lambda m, y: tuple(f(m, y) for f in forms.values())), {"x": torch.randn(B, S, N, C)})
    (site,), (results,) = find_sites(program), program.graph.output_node().args
    (series,) = (factor for axis in program.labels.axes(site.node.args[0]) for factor in axis if factor.size == S)
    kept = [is_sample(series, ancestors([made]), site.space, [site.space], program.labels) for made in results]
    assert [name for name, apart in zip(forms, kept, strict=True) if apart] == ["nothing"]


def test_samples_that_meet_after_their_tokens_are_pooled_are_no_obstacle(lab):
    program = lab.capture(Series(lambda m, y: y.mean(2).softmax(1)), {"x": torch.randn(B, S, N, C)})
    assert [site.obstacle for site in find_sites(program)] == [None]


APART = {
    "nothing": lambda m, y: y,
    "features": lambda m, y: m.norm(m.linear(y)).softmax(-1).cumsum(-1),
    "layout": lambda m, y: y.permute(1, 2, 0, 3).reshape(S, N, -1).unflatten(2, (-1, C)).permute(2, 0, 1, 3),
    "parts of features": lambda m, y: torch.cat([*reversed(y.chunk(2, -1)), y[..., :4]], -1),
    "batch norm": lambda m, y: m.batch(y),
    "pooled": lambda m, y: y + y.amax(2, keepdim=True) * y.sum(2, keepdim=True).sigmoid(),
    "attention": lambda m, y: m.second(y.flatten(0, 1)).unflatten(0, y.shape[:2]),
}


@pytest.mark.parametrize("form", APART)
def test_samples_in_an_axis_of_their_own_are_reduced_as_they_are_alone(lab, form):
    """All but one are exchanged: that one must not change."""
    module, x = Series(APART[form]).eval(), torch.randn(B, S, N, C)
    program = lab.capture(module, {"x": x})
    assert find_sites(program)[0].obstacle is None
    found = lab.rewritten(program, lab.bipartite, 2)
    (together,) = lab.run(found)
    assert not torch.allclose(together, module(x), atol=1e-3), "nothing was merged"
    for i in range(S):
        alone = torch.randn(B, S, N, C)
        alone[:, i] = x[:, i]
        torch.testing.assert_close(together[:, i], lab.run(found, {"x": alone})[0][:, i])


def test_samples_are_no_heads_where_weights_contract_them_later(lab):
    """A head over all series makes theirs an axis of channels, as heads are: each still has a map of its own."""
    x, found = torch.randn(B, S, N, C), []
    for head in (False, True):
        torch.manual_seed(0)
        module = Series((lambda m, y: y.mean(2).transpose(1, 2) @ m.weights) if head else (lambda m, y: y.mean(2)))
        program = lab.capture(module.eval(), {"x": x})
        (site,) = find_sites(program)
        assert (site.heads, [f.size for f in site.batch][1:]) == (2, [S])
        found.append(lab.run(lab.rewritten(program, lab.bipartite, 2), {"x": x})[0])
    torch.testing.assert_close(found[0].transpose(1, 2) @ WEIGHTS, found[1])


def test_windows_that_weights_mix_are_no_heads(lab):
    """A linear layer over an axis makes it one of channels; heads are so too, and were told apart by nothing else."""

    class Windows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.mix = Encoder(C, 2, 1), nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            y = self.encoder(x.reshape(-1, N // 2, C)).reshape(-1, 2, N // 2, C)
            return self.mix(y.transpose(1, 3)).transpose(1, 3).reshape(x.shape)

    sites = find_sites(lab.capture(Windows(), {"x": torch.randn(B, N, C)}))
    assert all("window or frame" in site.obstacle for site in sites)
