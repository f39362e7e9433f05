"""What cannot be followed is refused, with the reason."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgetok.graph import capture, find_sites
from edgetok.model import Component

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


def refusals(program):
    return [site.obstacle for site in find_sites(program)]


class HalfMasked(nn.Module):
    """The first block hides padding, the second does not."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Encoder(1), Encoder(1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.second(self.first(x, attn_mask=mask[:, None, None, :].bool()))


def test_attentions_must_agree_about_padding(lab):
    program = lab.capture(HalfMasked(), {"x": torch.randn(B, N, C), "mask": torch.ones(B, N, dtype=torch.long)})
    assert all("does not hide the same padding" in reason for reason in refusals(program))


class Refused(nn.Module):
    """One encoder; ``form`` says what is wrong with it."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.encoder, self.form = Encoder(), form
        self.lstm = nn.LSTM(C, C, batch_first=True) if form == "recurrent" else None
        self.mix = Attention()

    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[1]
        if self.form == "causal":
            return self.encoder(x, attn_mask=torch.ones(n, n, dtype=torch.bool).tril())
        if self.form == "is_causal":
            return self.encoder(x, is_causal=True)
        if self.form == "band":
            place = torch.arange(n)
            return self.encoder(x, attn_mask=(place[:, None] - place).abs() < 3)
        if self.form == "blocks":
            place = torch.arange(n) // 4
            return self.encoder(x, attn_mask=place[:, None] == place)
        if self.form == "content":
            return self.encoder(x, attn_mask=(x.sum(-1) > 0)[:, None, None, :])
        if self.form == "recurrent":
            return self.lstm(self.encoder(x))[0]
        if self.form == "twice the tokens":
            return self.encoder(torch.cat([x, x], 1))
        if self.form == "softmax":
            y = self.encoder(x)
            return (y @ y.transpose(1, 2)).softmax(-1).exp() @ y
        if self.form == "no residual":
            return self.encoder.attentions[0](x)
        if self.form == "windows":
            w = x.reshape(-1, n // 4, 4, C)
            return self.encoder(w).reshape(x.shape)
        q, k, v = (self.mix.heads(p(x)).transpose(2, 3) for p in (self.mix.q, self.mix.q, self.mix.v))
        channels = F.scaled_dot_product_attention(q, k, v)
        return x + channels.permute(0, 3, 1, 2).flatten(2)


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ("causal", "causal"),
        ("is_causal", "causal"),
        ("band", "band"),
        ("blocks", "fixed pattern"),
        ("content", "not understood"),
        ("recurrent", "no label rule"),
        ("twice the tokens", "more than once"),
        ("softmax", "softmax over its tokens"),
        ("no residual", "no residual add"),
        ("windows", "window or frame"),
        ("channels", "channels, not tokens"),
    ],
)
def test_what_cannot_be_followed_is_refused(lab, form, reason):
    found = refusals(lab.capture(Refused(form), {"x": torch.randn(B, N, C)}))
    assert found
    assert all(reason in text for text in found), found


@pytest.mark.parametrize("batch_axis", [0, None])
def test_frames_in_the_batch_are_refused(lab, batch_axis):
    class Frames(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.space, self.time = Encoder(1), Encoder(1)

        def forward(self, x: Tensor) -> Tensor:
            b, t, s, c = x.shape
            x = self.space(x.reshape(b * t, s, c)).reshape(b, t, s, c).transpose(1, 2)
            return self.time(x.reshape(b * s, t, c)).reshape(b, s, t, c)

    program = lab.capture(Frames(), {"x": torch.randn(2, 3, N, C)}, batch_axis=batch_axis)
    assert all("window or frame" in reason for reason in refusals(program))


def test_symbolic_tokens_are_refused(lab):
    x = torch.randn(2, N, C)
    program = capture(Component("model", Encoder(), {"x": x}, {"x": {0: "batch", 1: "tokens"}}))
    assert all("symbolic" in reason for reason in refusals(program))


def test_a_float_mask_as_input_is_refused(lab):
    class Given(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = Encoder()

        def forward(self, x: Tensor, mask: Tensor) -> Tensor:
            return self.encoder(x, attn_mask=mask)

    inputs = {"x": torch.randn(B, N, C), "mask": torch.zeros(B, 1, 1, N)}
    assert all("not understood" in reason for reason in refusals(lab.capture(Given(), inputs)))
