from __future__ import annotations

import operator
from types import SimpleNamespace

import numpy as np
import pytest
import torch

generator = torch.Generator().manual_seed(0)
INPUTS = {
    "x": torch.randn(3, 4, generator=generator),
    "y": torch.randn(1, 4, generator=generator),
    "p": torch.rand(3, 4, generator=generator) + 0.5,
    "i": torch.randint(-9, 9, (3, 4), generator=generator, dtype=torch.int32),
    "j": torch.randint(1, 5, (3, 4), generator=generator, dtype=torch.int32),
}


def binary(kind, expect, a="x", b="y"):
    return SimpleNamespace(
        id=f"{kind}-{a}{b}",
        kind=kind,
        build=lambda mb, v: getattr(mb, kind)(x=v[a], y=v[b]),
        expect=lambda t: expect(t[a], t[b]),
    )


def unary(kind, expect, a="x", **options):
    return SimpleNamespace(
        id=f"{kind}-{a}",
        kind=kind,
        build=lambda mb, v: getattr(mb, kind)(x=v[a], **options),
        expect=lambda t: expect(t[a]),
    )


def logical(kind):
    return SimpleNamespace(
        id=kind,
        kind=kind,
        build=lambda mb, v: getattr(mb, kind)(x=mb.greater(x=v["x"], y=v["y"]), y=mb.greater(x=v["i"], y=0)),
        expect=lambda t: getattr(torch, kind)(t["x"] > t["y"], t["i"] > 0),
    )


CASES = [
    binary("add", operator.add),
    binary("add", operator.add, "i", "j"),
    binary("sub", operator.sub),
    binary("mul", operator.mul),
    binary("real_div", operator.truediv, "x", "p"),
    binary("real_div", lambda a, b: torch.div(a, b, rounding_mode="trunc"), "i", "j"),
    binary("floor_div", torch.floor_divide, "i", "j"),
    binary("mod", torch.remainder, "i", "j"),
    binary("pow", torch.pow, "p", "x"),
    binary("maximum", torch.maximum),
    binary("minimum", torch.minimum),
    binary("greater", torch.gt),
    binary("greater_equal", torch.ge, "i", "j"),
    binary("less", torch.lt),
    binary("less_equal", torch.le, "i", "j"),
    binary("equal", torch.eq, "i", "j"),
    binary("not_equal", torch.ne, "i", "j"),
    *(
        unary(name, getattr(torch, name))
        for name in (
            "abs",
            "ceil",
            "cos",
            "erf",
            "exp",
            "exp2",
            "floor",
            "round",
            "sign",
            "sin",
            "square",
            "tan",
            "tanh",
        )
    ),
    unary("identity", torch.clone),
    *(logical(name) for name in ("logical_and", "logical_or", "logical_xor")),
    SimpleNamespace(
        id="logical_not",
        kind="logical_not",
        build=lambda mb, v: mb.logical_not(x=mb.greater(x=v["i"], y=0)),
        expect=lambda t: ~(t["i"] > 0),
    ),
    unary("sqrt", torch.sqrt, "p"),
    unary("rsqrt", lambda p: torch.rsqrt(p + 0.25), "p", epsilon=np.float32(0.25)),
    unary("log", lambda p: torch.log(p + 0.25), "p", epsilon=np.float32(0.25)),
    unary("inverse", lambda p: 1 / (p + 0.25), "p", epsilon=np.float32(0.25)),
    unary("clip", lambda x: x.clamp(-0.5, 0.75), alpha=np.float32(-0.5), beta=np.float32(0.75)),
    unary("threshold", lambda x: x.clamp(min=0.1), alpha=np.float32(0.1)),
    unary("cast", lambda x: x.to(torch.int32), dtype="int32"),
    SimpleNamespace(
        id="logical",
        kind="logical_xor",
        build=lambda mb, v: mb.logical_xor(
            x=mb.logical_and(x=mb.greater(x=v["x"], y=v["y"]), y=mb.greater(x=v["i"], y=0)),
            y=mb.logical_or(x=mb.logical_not(x=mb.greater(x=v["p"], y=np.float32(1))), y=mb.greater(x=v["j"], y=2)),
        ),
        expect=lambda t: ((t["x"] > t["y"]) & (t["i"] > 0)) ^ (~(t["p"] > 1) | (t["j"] > 2)),
    ),
    SimpleNamespace(
        id="select",
        kind="select",
        build=lambda mb, v: mb.select(cond=mb.greater(x=v["i"], y=0), a=v["x"], b=v["p"]),
        expect=lambda t: torch.where(t["i"] > 0, t["x"], t["p"]),
    ),
    SimpleNamespace(
        id="cast-wraps",
        kind="cast",
        build=lambda mb, v: mb.cast(x=mb.cast(x=mb.mul(x=v["i"], y=20000), dtype="int16"), dtype="int32"),
        expect=lambda t: (t["i"] * 20000).to(torch.int16).to(torch.int32),
    ),
    SimpleNamespace(
        id="cast-fp16",
        kind="cast",
        build=lambda mb, v: mb.cast(x=mb.cast(x=v["x"], dtype="fp16"), dtype="fp32"),
        expect=lambda t: t["x"].half().float(),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_it_is_what_torch_says(case, agrees):
    agrees(case, INPUTS)
