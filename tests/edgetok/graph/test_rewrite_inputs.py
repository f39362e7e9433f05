"""Models with several inputs, streams, layouts and precisions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgetok.graph import find_sites, rewrite, static_batch

B, N, C, H = 3, 16, 16, 2


class Attention(nn.Module):
    """Attention with two heads and, if given, a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(C, C) for _ in range(4))

    def heads(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:-1], H, C // H).transpose(-2, -3)

    def forward(self, x: Tensor, memory: Tensor | None = None, **options: object) -> Tensor:
        y = x if memory is None else memory
        q, k, v = self.heads(self.q(x)), self.heads(self.k(y)), self.heads(self.v(y))
        return self.o(F.scaled_dot_product_attention(q, k, v, **options).transpose(-2, -3).flatten(-2))


class Encoder(nn.Module):
    """Pre-norm blocks that pass ``options`` to their attention."""

    def __init__(self, depth: int = 2) -> None:
        super().__init__()
        self.attentions = nn.ModuleList(Attention() for _ in range(depth))
        self.mlps = nn.ModuleList(nn.Sequential(nn.LayerNorm(C), nn.Linear(C, C), nn.GELU()) for _ in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(C) for _ in range(depth))

    def forward(self, x: Tensor, **options: object) -> Tensor:
        for attention, mlp, norm in zip(self.attentions, self.mlps, self.norms, strict=True):
            x = x + attention(norm(x), **options)
            x = x + mlp(x)
        return x


class TwoTowers(nn.Module):
    """Two encoders for sequences of one length, compared at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = Encoder(), Encoder()

    def forward(self, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        a, b = self.left(a), self.right(b)
        return {"similarity": a @ b.transpose(1, 2), "pooled": (a.mean(1) * b.mean(1)).sum(-1)}


def test_two_token_spaces_have_their_own_maps(lab):
    module = TwoTowers()
    make = lambda batch: {"a": lab.twins_of(batch, N, C, 6, seed=1), "b": lab.twins_of(batch, N, C, 6, seed=2)}  # noqa: E731
    program = lab.capture(module, make(B))
    assert {site.space.index for site in find_sites(program)} == {0, 1}
    lab.check_lossless(module, program, lab.backwards, 2, make)


class OneTowerTwice(nn.Module):
    """One encoder for both sequences; the position table that they share makes them one axis."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.position = nn.Parameter(torch.randn(1, 1, C).expand(1, N, C).clone())

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return self.encoder(a + self.position), self.encoder(b + self.position)


def test_a_second_stream_over_the_same_axis_is_left_alone(lab):
    module = OneTowerTwice()
    make = lambda batch: {"a": lab.twins_of(batch, N, C, 6, seed=1), "b": lab.twins_of(batch, N, C, 6, seed=2)}  # noqa: E731
    program = lab.capture(module, make(B))
    reasons = [site.obstacle for site in find_sites(program)]
    assert reasons[:2] == [None, None]
    assert all("another stream" in reason for reason in reasons[2:])
    lab.check_lossless(module, program, lab.backwards, 2, make)


class Padded(nn.Module):
    """A text encoder with a key-padding mask in one of several forms."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.encoder, self.form = Encoder(), form

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        weights = mask.to(x.dtype).unsqueeze(-1)
        y = self.encoder(x, attn_mask=self.attention_mask(mask, x.dtype))
        return y * weights, (y * weights).sum(1) / weights.sum(1)

    def attention_mask(self, mask: Tensor, dtype: torch.dtype) -> Tensor:
        keys = mask[:, None, None, :]
        if self.form == "bool":
            return keys.bool()
        if self.form == "additive":
            return (1.0 - keys.to(dtype)) * torch.finfo(dtype).min
        if self.form == "expanded":
            return keys.bool().expand(-1, 1, N, -1)
        return torch.zeros(mask.shape[0], 1, N, N).masked_fill(keys == 0, float("-inf"))


def padded_inputs(lab, batch, seed=0):
    """Twins among the first eleven tokens, padding after them."""
    mask = torch.zeros(batch, N, dtype=torch.long)
    mask[:, :11] = 1
    return {"x": lab.twins_of(batch, N, C, 4, span=(0, 11), seed=seed), "mask": mask}


@pytest.mark.parametrize("form", ["bool", "additive", "expanded", "filled"])
def test_padding_never_reaches_real_tokens(lab, form):
    module = Padded(form)
    program = lab.capture(module, padded_inputs(lab, B))
    sites = find_sites(program)
    assert [(s.mask.kind, s.obstacle) for s in sites] == [("padding", None)] * 2
    rewritten = lab.check_lossless(module, program, lab.backwards, 2, lambda batch: padded_inputs(lab, batch))
    inputs = padded_inputs(lab, B)
    other = {**inputs, "x": torch.where(inputs["mask"][..., None] > 0, inputs["x"], 100.0)}
    for a, b in zip(lab.run(rewritten, inputs), lab.run(rewritten, other), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", ["drop", "bipartite"])
def test_removing_padding_leaves_real_tokens_as_they_were(lab, method):
    module = Padded("bool")
    inputs = padded_inputs(lab, B)
    program = lab.capture(module, inputs)
    rewritten = lab.rewritten(program, getattr(lab, method), 1)
    with torch.no_grad():
        dense = module(**inputs)
    for found, wanted in zip(lab.run(rewritten), dense, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=2e-5)


def test_a_sample_of_padding_alone_stays_finite(lab):
    program = lab.capture(Padded("bool"), padded_inputs(lab, B))
    rewritten = lab.rewritten(program, lab.twins, 2)
    inputs = padded_inputs(lab, B)
    inputs["mask"][0] = 0
    assert bool(lab.run(rewritten, inputs)[0].isfinite().all())


class Decoder(nn.Module):
    """Queries of their own attend to encoded tokens through a mask of which the encoder knows nothing."""

    def __init__(self, masked: bool) -> None:
        super().__init__()
        self.encoder, self.cross, self.masked = Encoder(), Attention(), masked

    def forward(self, x: Tensor, queries: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        memory = self.encoder(x)
        options = {"attn_mask": mask[:, None, None, :].bool()} if self.masked else {}
        return queries + self.cross(queries, memory, **options), mask * 2


@pytest.mark.parametrize("masked", [True, False])
def test_cross_attention_follows_or_gets_its_tokens_back(lab, masked):
    module = Decoder(masked)

    def make(batch):
        mask = (torch.rand(batch, N, generator=torch.Generator().manual_seed(3)) > 0.4).long()
        mask[:, 0] = 1
        return {"x": lab.twins_of(batch, N, C, 6), "queries": torch.randn(batch, 5, C), "mask": mask}

    lab.check_lossless(module, lab.capture(module, make(B)), lab.backwards, 2, make)


class Positions(nn.Module):
    """Token ids and position ids; positions come back in every layer."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(50, C), nn.Embedding(N, C)
        self.first, self.second = Encoder(1), Encoder(1)
        self.register_buffer("scale", torch.rand(1, 1, C) + 0.5, persistent=False)
        self.register_buffer("offset", torch.full((N, 1), 0.5))

    def forward(self, input_ids: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        x = self.first(self.words(input_ids) * self.scale + self.places(position_ids))
        y = self.second(x + self.places(position_ids) + self.offset)
        return y, torch.where((position_ids % 2 == 0).unsqueeze(-1), y, -y)


def test_ids_and_buffers_follow_their_tokens(lab):
    def make(batch):
        ids = torch.stack([torch.randperm(N, generator=torch.Generator().manual_seed(b)) // 2 for b in range(batch)])
        return {"input_ids": ids + 10, "position_ids": ids}

    module = Positions()
    program = lab.capture(module, make(B))
    rewritten = lab.check_lossless(module, program, lab.backwards, 3, make)
    assert set(rewritten.exported.state_dict) == set(module.state_dict())
    assert [o.dtype for o in rewritten.outputs] == ["float32", "float32"]


def test_tokens_first_and_batch_second(lab):
    class TokensFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layer = nn.TransformerEncoderLayer(C, H, 32, dropout=0.0, norm_first=True)
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            y = self.encoder(x)
            return y, y.mean(0)

    module = TokensFirst().eval()
    make = lambda batch: {"x": lab.twins_of(batch, N, C, 6).transpose(0, 1).contiguous()}  # noqa: E731
    program = lab.capture(module, make(B), batch_axis=1)
    rewritten = lab.check_lossless(module, program, lab.backwards, 3, make)
    assert rewritten.outputs[0].shape == (N, "batch", C)
    one = static_batch(program, 1, lab.steps(find_sites(program), lab.twins, 3))
    x = lab.twins_of(1, N, C, 6).transpose(0, 1).contiguous()
    assert one.inputs[0].shape == (N, 1, C)
    torch.testing.assert_close(lab.run(one, {"x": x})[0], module(x)[0], rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_static_batch(lab, batch):
    module = Encoder()
    x = {"x": lab.twins_of(batch, N, C, 6)}
    program = lab.capture(module, x, batch_axis=None)
    found = lab.run(lab.rewritten(program, lab.backwards, 3))
    torch.testing.assert_close(found[0], module(**x), rtol=1e-4, atol=2e-5)


def test_no_batch_at_all(lab):
    module = Encoder()
    x = lab.twins_of(1, N, C, 6)[0]
    program = lab.capture(module, {"x": x}, batch_axis=None)
    found = lab.run(lab.rewritten(program, lab.backwards, 3))
    torch.testing.assert_close(found[0], module(x), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions(lab, dtype):
    module = Encoder().to(dtype)
    x = lab.twins_of(B, N, C, 6).to(dtype)
    program = lab.capture(module, {"x": x})
    dense = lab.run(rewrite(program))[0]
    assert torch.equal(lab.run(lab.rewritten(program, lab.identity, 0))[0], dense)
    merged = lab.run(lab.rewritten(program, lab.backwards, 3))[0]
    assert merged.dtype == dtype
    torch.testing.assert_close(merged, dense, rtol=0.0, atol=64 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_padding_in_half_precision(lab, dtype):
    module = Padded("additive").to(dtype)
    inputs = padded_inputs(lab, B)
    inputs["x"] = inputs["x"].to(dtype)
    program = lab.capture(module, inputs)
    found, dense = lab.run(lab.rewritten(program, lab.twins, 2)), lab.run(rewrite(program))
    for a, b in zip(found, dense, strict=True):
        torch.testing.assert_close(a, b, rtol=0.0, atol=64 * torch.finfo(dtype).eps)


def test_a_stream_in_another_precision_than_its_attention(lab):
    class Mixed(Encoder):
        def forward(self, x: Tensor) -> Tensor:
            for attention, norm in zip(self.attentions, self.norms, strict=True):
                x = x + attention(norm(x).to(torch.bfloat16)).float()
            return x

    module = Mixed()
    module.attentions.to(torch.bfloat16)
    program = lab.capture(module, {"x": lab.twins_of(B, N, C, 6)})
    found, dense = lab.run(lab.rewritten(program, lab.twins, 3))[0], lab.run(rewrite(program))[0]
    torch.testing.assert_close(found, dense, rtol=0.0, atol=0.05)


def test_inputs_in_any_order(lab):
    class Two(nn.Module):
        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return a - 2 * b

    a, b = torch.randn(2, 3), torch.randn(2, 3)
    program = lab.capture(Two(), {"b": b, "a": a})
    swapped = rewrite(program, example={"a": a, "b": b})
    assert torch.equal(lab.run(swapped, {"a": a, "b": b})[0], a - 2 * b)
    assert [spec.name for spec in swapped.inputs] == list(swapped.placeholders)
