from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

INPUTS = {
    "x": torch.arange(24.0).reshape(2, 3, 4),
    "y": torch.arange(24.0).reshape(2, 3, 4) + 100,
    "one": torch.arange(3.0).reshape(1, 3, 1),
    "square": torch.arange(25.0).reshape(5, 5) + 1,
}


def case(name, kind, build, expect):
    return SimpleNamespace(id=name, kind=kind, build=build, expect=expect)


def cut(**options):
    return lambda mb, v: mb.slice_by_index(x=v["x"], **options)


CASES = [
    case("reshape", "reshape", lambda mb, v: mb.reshape(x=v["x"], shape=[-1, 0]), lambda t: t["x"].reshape(6, 4)),
    case(
        "transpose",
        "transpose",
        lambda mb, v: mb.transpose(x=v["x"], perm=[2, 0, 1]),
        lambda t: t["x"].permute(2, 0, 1),
    ),
    case(
        "expand_dims",
        "expand_dims",
        lambda mb, v: mb.expand_dims(x=v["x"], axes=[0, -1]),
        lambda t: t["x"][None, ..., None],
    ),
    case("squeeze", "squeeze", lambda mb, v: mb.squeeze(x=v["one"], axes=[0]), lambda t: t["one"][0]),
    case("squeeze-all", "squeeze", lambda mb, v: mb.squeeze(x=v["one"]), lambda t: t["one"].reshape(3)),
    case(
        "concat",
        "concat",
        lambda mb, v: mb.concat(values=(v["x"], v["y"]), axis=1),
        lambda t: torch.cat([t["x"], t["y"]], 1),
    ),
    case(
        "concat-scalars",
        "concat",
        lambda mb, v: mb.concat(values=(mb.gather(x=mb.shape(x=v["x"]), indices=2, axis=0), 7), axis=0),
        lambda t: torch.tensor([4, 7]),
    ),
    case(
        "interleave",
        "concat",
        lambda mb, v: mb.concat(values=(v["x"], v["y"]), axis=1, interleave=True),
        lambda t: torch.stack([t["x"], t["y"]], 2).flatten(1, 2),
    ),
    case(
        "stack",
        "stack",
        lambda mb, v: mb.stack(values=(v["x"], v["y"]), axis=1),
        lambda t: torch.stack([t["x"], t["y"]], 1),
    ),
    case(
        "split",
        "split",
        lambda mb, v: mb.split(x=v["x"], num_splits=2, axis=2)[1],
        lambda t: t["x"][..., 2:],
    ),
    case(
        "split-sizes",
        "split",
        lambda mb, v: mb.split(x=v["x"], split_sizes=[1, 3], axis=2)[1],
        lambda t: t["x"][..., 1:],
    ),
    case("slice", "slice_by_index", cut(begin=[0, 1, 0], end=[2, 3, 3]), lambda t: t["x"][:, 1:3, :3]),
    case(
        "slice-negative",
        "slice_by_index",
        cut(begin=[0, -2, 0], end=[2, -1, 4], end_mask=[True, False, True]),
        lambda t: t["x"][:, -2:-1],
    ),
    case(
        "slice-stride",
        "slice_by_index",
        cut(begin=[0, 0, 1], end=[0, 0, 0], stride=[1, 1, 2], begin_mask=[True, True, False], end_mask=[True] * 3),
        lambda t: t["x"][..., 1::2],
    ),
    case(
        "slice-squeeze",
        "slice_by_index",
        cut(begin=[0, -1, 0], end=[2, 3, 4], squeeze_mask=[False, True, False]),
        lambda t: t["x"][:, -1],
    ),
    case(
        "slice-backwards",
        "slice_by_index",
        cut(begin=[0, 0, 3], end=[2, 3, 0], stride=[1, 1, -1]),
        lambda t: t["x"][..., [3, 2, 1]],
    ),
    case(
        "slice_by_size",
        "slice_by_size",
        lambda mb, v: mb.slice_by_size(x=v["x"], begin=[0, 1, 2], size=[2, 1, -1]),
        lambda t: t["x"][:, 1:2, 2:],
    ),
    case("tile", "tile", lambda mb, v: mb.tile(x=v["x"], reps=[1, 2, 3]), lambda t: t["x"].repeat(1, 2, 3)),
    case(
        "pad",
        "pad",
        lambda mb, v: mb.pad(x=v["x"], pad=[0, 1, 2, 3], mode="constant", constant_val=np.float32(7)),
        lambda t: F.pad(t["x"], (2, 3, 0, 1), value=7.0),
    ),
    case(
        "pad-reflect",
        "pad",
        lambda mb, v: mb.pad(x=v["x"], pad=[1, 2], mode="reflect"),
        lambda t: F.pad(t["x"], (1, 2), mode="reflect"),
    ),
    case(
        "pad-replicate",
        "pad",
        lambda mb, v: mb.pad(x=v["x"], pad=[1, 2], mode="replicate"),
        lambda t: F.pad(t["x"], (1, 2), mode="replicate"),
    ),
    case("fill", "fill", lambda mb, v: mb.fill(shape=[2, 3], value=np.float32(5)), lambda t: torch.full((2, 3), 5.0)),
    case(
        "fill_like",
        "fill_like",
        lambda mb, v: mb.fill_like(ref_tensor=v["one"], value=np.float32(5)),
        lambda t: torch.full((1, 3, 1), 5.0),
    ),
    case("shape", "shape", lambda mb, v: mb.shape(x=v["x"]), lambda t: torch.tensor([2, 3, 4])),
    case(
        "range_1d",
        "range_1d",
        lambda mb, v: mb.range_1d(start=1, end=9, step=3),
        lambda t: torch.tensor([1, 4, 7]),
    ),
    case(
        "band_part",
        "band_part",
        lambda mb, v: mb.band_part(x=v["square"], lower=1, upper=-1),
        lambda t: t["square"].triu(-1),
    ),
    case(
        "band_part-lower",
        "band_part",
        lambda mb, v: mb.band_part(x=v["square"], lower=-1, upper=0),
        lambda t: t["square"].tril(),
    ),
    case("flatten2d", "flatten2d", lambda mb, v: mb.flatten2d(x=v["x"], axis=2), lambda t: t["x"].reshape(6, 4)),
    case("reverse", "reverse", lambda mb, v: mb.reverse(x=v["x"], axes=[1]), lambda t: t["x"].flip(1)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_it_is_what_torch_says(case, agrees):
    agrees(case, INPUTS)
