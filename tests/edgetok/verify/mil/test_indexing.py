from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from edgetok.errors import RuntimeFailed
from edgetok.verify.mil.registry import Operands, apply

generator = torch.Generator().manual_seed(0)
INPUTS = {
    "x": torch.randn(2, 5, 3, generator=generator),
    "ids": torch.tensor([[4, 0], [1, 1]], dtype=torch.int32),
    "along": torch.randint(0, 5, (2, 4, 3), generator=generator, dtype=torch.int32),
    "updates": torch.randn(2, 4, 3, generator=generator),
    "ties": torch.tensor([[1.0, 3.0, 3.0, 0.0, 1.0]]),
    "nd": torch.tensor([[0, 4], [1, 2]], dtype=torch.int32),
}


def case(name, kind, build, expect):
    return SimpleNamespace(id=name, kind=kind, build=build, expect=expect)


CASES = [
    case(
        "gather",
        "gather",
        lambda mb, v: mb.gather(x=v["x"], indices=v["ids"], axis=1),
        lambda t: t["x"][:, t["ids"].long()],
    ),
    case(
        "gather-batch",
        "gather",
        lambda mb, v: mb.gather(x=v["x"], indices=v["ids"], axis=1, batch_dims=1),
        lambda t: torch.stack([row[ids.long()] for row, ids in zip(t["x"], t["ids"], strict=True)]),
    ),
    case(
        "gather_along_axis",
        "gather_along_axis",
        lambda mb, v: mb.gather_along_axis(x=v["x"], indices=v["along"], axis=1),
        lambda t: t["x"].gather(1, t["along"].long()),
    ),
    case(
        "gather_nd",
        "gather_nd",
        lambda mb, v: mb.gather_nd(x=v["x"], indices=v["nd"]),
        lambda t: torch.stack([t["x"][0, 4], t["x"][1, 2]]),
    ),
    case(
        "scatter-add",
        "scatter_along_axis",
        lambda mb, v: mb.scatter_along_axis(data=v["x"], indices=v["along"], updates=v["updates"], axis=1, mode="add"),
        lambda t: t["x"].scatter_add(1, t["along"].long(), t["updates"]),
    ),
    case(
        "scatter_nd",
        "scatter_nd",
        lambda mb, v: mb.scatter_nd(data=v["x"], indices=v["nd"], updates=np.ones((2, 3), np.float32), mode="add"),
        lambda t: t["x"].index_put(t["nd"].long().unbind(-1), torch.ones(2, 3), accumulate=True),
    ),
    case(
        "one_hot",
        "one_hot",
        lambda mb, v: mb.one_hot(
            indices=v["ids"], one_hot_vector_size=5, axis=1, on_value=np.float32(2), off_value=np.float32(-1)
        ),
        lambda t: torch.nn.functional.one_hot(t["ids"].long(), 5).transpose(1, 2) * 3.0 - 1,
    ),
    case(
        "topk-lowest-index",
        "topk",
        lambda mb, v: mb.topk(x=v["ties"], k=3, axis=-1)[1],
        lambda t: torch.tensor([[1, 2, 0]]),
    ),
    case(
        "topk-values",
        "topk",
        lambda mb, v: mb.topk(x=v["x"], k=2, axis=1, ascending=True)[0],
        lambda t: t["x"].topk(2, 1, largest=False).values,
    ),
    case(
        "argsort-stable",
        "argsort",
        lambda mb, v: mb.argsort(x=v["ties"], axis=-1, ascending=True),
        lambda t: torch.tensor([[3, 0, 4, 1, 2]]),
    ),
    case("cumsum", "cumsum", lambda mb, v: mb.cumsum(x=v["x"], axis=1), lambda t: t["x"].cumsum(1)),
    case(
        "cumsum-exclusive-reverse",
        "cumsum",
        lambda mb, v: mb.cumsum(x=v["x"], axis=1, exclusive=True, reverse=True),
        lambda t: t["x"].flip(1).cumsum(1).flip(1) - t["x"],
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_it_is_what_torch_says(case, agrees):
    agrees(case, INPUTS)


@pytest.mark.parametrize("kind", ["gather", "gather_along_axis"])
def test_an_index_outside_is_refused(kind):
    given = {"x": INPUTS["x"], "indices": INPUTS["along"] + 5, "axis": torch.tensor(1)}
    with pytest.raises(RuntimeFailed, match="outside its tensor"):
        apply(kind, Operands(kind, given))


def test_a_single_index_drops_the_axis():
    given = {"x": torch.arange(4), "indices": torch.tensor(2), "axis": torch.tensor(0)}
    assert apply("gather", Operands("gather", given)).tolist() == 2


def test_negative_indices_count_from_the_end():
    given = {"x": torch.arange(4), "indices": torch.tensor([-1]), "axis": torch.tensor(0)}
    assert apply("gather", Operands("gather", given)).tolist() == [3]
