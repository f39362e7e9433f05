from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

generator = torch.Generator().manual_seed(0)
INPUTS = {
    "x": torch.randn(2, 3, 5, generator=generator),
    "y": torch.randn(2, 4, 5, generator=generator),
    "image": torch.randn(2, 4, 9, 8, generator=generator),
    "heads": torch.randn(1, 2, 6, 4, generator=generator),
    "mask": torch.randn(1, 1, 6, 6, generator=generator),
}
WEIGHT, BIAS = torch.randn(7, 5, generator=generator), torch.randn(7, generator=generator)
KERNEL = torch.randn(6, 4, 3, 3, generator=generator)
DEPTHWISE = torch.randn(4, 1, 3, 3, generator=generator)


def conv(name, expect, weight=KERNEL, **options):
    return SimpleNamespace(
        id=name,
        kind="conv",
        build=lambda mb, v: mb.conv(x=v["image"], weight=weight.numpy(), **options),
        expect=lambda t: expect(t["image"]),
    )


CASES = [
    SimpleNamespace(
        id="linear",
        kind="linear",
        build=lambda mb, v: mb.linear(x=v["x"], weight=WEIGHT.numpy(), bias=BIAS.numpy()),
        expect=lambda t: F.linear(t["x"], WEIGHT, BIAS),
    ),
    SimpleNamespace(
        id="matmul",
        kind="matmul",
        build=lambda mb, v: mb.matmul(x=v["x"], y=v["y"], transpose_y=True),
        expect=lambda t: t["x"] @ t["y"].mT,
    ),
    SimpleNamespace(
        id="matmul-x",
        kind="matmul",
        build=lambda mb, v: mb.matmul(x=v["x"], y=v["x"], transpose_x=True),
        expect=lambda t: t["x"].mT @ t["x"],
    ),
    SimpleNamespace(
        id="einsum",
        kind="einsum",
        build=lambda mb, v: mb.einsum(
            values=(v["heads"], mb.transpose(x=v["heads"], perm=[0, 3, 2, 1])), equation="nchw,nwhu->nchu"
        ),
        expect=lambda t: torch.einsum("nchw,nuhw->nchu", t["heads"], t["heads"]),
    ),
    conv("valid", lambda x: F.conv2d(x, KERNEL), pad_type="valid"),
    conv("strided", lambda x: F.conv2d(x, KERNEL, stride=(2, 3)), strides=[2, 3], pad_type="valid"),
    conv("dilated", lambda x: F.conv2d(x, KERNEL, dilation=2), dilations=[2, 2], pad_type="valid"),
    conv(
        "custom",
        lambda x: F.conv2d(F.pad(x, (3, 0, 1, 2)), KERNEL),
        pad_type="custom",
        pad=[1, 2, 3, 0],
    ),
    conv("same", lambda x: F.conv2d(x, KERNEL, padding="same"), pad_type="same"),
    conv("same-strided", lambda x: F.conv2d(F.pad(x, (0, 1, 1, 1)), KERNEL, stride=2), pad_type="same", strides=[2, 2]),
    conv(
        "same-lower",
        lambda x: F.conv2d(F.pad(x, (1, 0, 1, 1)), KERNEL, stride=2),
        pad_type="same_lower",
        strides=[2, 2],
    ),
    conv("groups", lambda x: F.conv2d(x, DEPTHWISE, groups=4), DEPTHWISE, groups=4, pad_type="valid"),
    SimpleNamespace(
        id="attention",
        kind="scaled_dot_product_attention",
        build=lambda mb, v: mb.scaled_dot_product_attention(
            query=v["heads"], key=v["heads"], value=v["heads"], attn_mask=v["mask"]
        ),
        expect=lambda t: (t["heads"] @ t["heads"].mT / np.sqrt(4) + t["mask"]).softmax(-1) @ t["heads"],
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_it_is_what_torch_says(case, agrees):
    agrees(case, INPUTS)
