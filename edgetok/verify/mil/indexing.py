"""Reading and writing by index, and orders; an index outside its axis is refused, a negative one counts back."""

from __future__ import annotations

import torch
from torch import Tensor

from edgetok.errors import RuntimeFailed
from edgetok.verify.mil.registry import Operands, op


def _ids(operands: Operands, size: int) -> Tensor:
    ids = operands["indices"].to(torch.int64)
    if ids.numel() and not (-size <= int(ids.min()) and int(ids.max()) < size):
        raise RuntimeFailed(
            f"Operation {operands.kind} of the ML program reads outside its tensor.",
            why=f"indices {int(ids.min())} to {int(ids.max())} into an axis of {size}",
        )
    return torch.where(ids < 0, ids + size, ids)


@op("gather")
def gather(operands: Operands) -> Tensor:
    """Entries of ``x`` at ``indices`` along ``axis``; the indices' axes take the place of that axis."""
    x, axis = operands["x"], operands.integer("axis", 0)
    axis %= x.dim()
    batch = operands.integer("batch_dims", 0)
    ids = _ids(operands, x.shape[axis])
    if batch:
        return _batched(x, ids, axis, batch)
    taken = x.index_select(axis, ids.reshape(-1))
    return taken.reshape([*x.shape[:axis], *ids.shape, *x.shape[axis + 1 :]])


def _batched(x: Tensor, ids: Tensor, axis: int, batch: int) -> Tensor:
    """The same for each entry of ``batch`` leading axes that both have."""
    lead = x.shape[:batch]
    flat, rows = x.reshape(-1, *x.shape[batch:]), ids.reshape(-1, *ids.shape[batch:])
    at = axis - batch
    taken = [
        one.index_select(at, row.reshape(-1)).reshape([*one.shape[:at], *row.shape, *one.shape[at + 1 :]])
        for one, row in zip(flat, rows, strict=True)
    ]
    return torch.stack(taken).reshape([*lead, *taken[0].shape])


@op("gather_along_axis")
def gather_along_axis(operands: Operands) -> Tensor:
    """``x[.., indices[.., j, ..], ..]`` along ``axis``."""
    x, axis = operands["x"], operands.integer("axis", 0)
    return x.gather(axis, _ids(operands, x.shape[axis]))


@op("gather_nd")
def gather_nd(operands: Operands) -> Tensor:
    """Slices of ``x`` at index vectors in the last axis of ``indices``."""
    x, ids = operands["x"], operands["indices"].to(torch.int64)
    if operands.integer("batch_dims", 0):
        raise RuntimeFailed("The MIL interpreter does not evaluate gather_nd with batch_dims.")
    return x[ids.unbind(-1)]


@op("scatter_along_axis")
def scatter_along_axis(operands: Operands) -> Tensor:
    """``data`` with ``updates`` added or written at ``indices`` along ``axis``."""
    data, updates, axis = operands["data"], operands["updates"], operands.integer("axis", 0)
    ids, mode = _ids(operands, data.shape[axis]), operands.text("mode", "add")
    if mode == "add":
        return data.scatter_add(axis, ids, updates)
    if mode == "update":
        return data.scatter(axis, ids, updates)
    raise RuntimeFailed(f"The MIL interpreter does not know the mode {mode!r} of scatter_along_axis.")


@op("scatter_nd")
def scatter_nd(operands: Operands) -> Tensor:
    """``data`` with slices of ``updates`` added or written at the index vectors in the last axis of ``indices``."""
    data, updates, mode = operands["data"], operands["updates"], operands.text("mode", "add")
    ids = operands["indices"].to(torch.int64)
    if mode not in ("add", "update"):
        raise RuntimeFailed(f"The MIL interpreter does not know the mode {mode!r} of scatter_nd.")
    return data.index_put(ids.unbind(-1), updates, accumulate=mode == "add")


@op("one_hot")
def one_hot(operands: Operands) -> Tensor:
    """``on_value`` where the new ``axis`` is the index, else ``off_value``."""
    ids, size = operands["indices"].to(torch.int64), operands.integer("one_hot_vector_size")
    axis = operands.integer("axis", -1)
    hot = (ids.unsqueeze(-1) == torch.arange(size)).movedim(-1, axis)
    on = operands["on_value"] if "on_value" in operands else torch.tensor(1)
    off = operands["off_value"] if "off_value" in operands else torch.tensor(0)
    return torch.where(hot, on, off)


@op("topk")
def topk(operands: Operands) -> tuple[Tensor, ...]:
    """The ``k`` largest (or smallest) entries along ``axis`` and their indices; ties towards the lower index."""
    x, k, axis = operands["x"], operands.integer("k", 1), operands.integer("axis", -1)
    order = x.argsort(dim=axis, descending=not operands.flag("ascending"), stable=True).narrow(axis, 0, k)
    both = (x.gather(axis, order), order.to(torch.int32))
    return both if operands.flag("return_indices", True) else both[:1]


@op("argsort")
def argsort(operands: Operands) -> Tensor:
    """Indices that sort along ``axis``, stable."""
    order = operands["x"].argsort(
        dim=operands.integer("axis", -1), descending=not operands.flag("ascending"), stable=True
    )
    return order.to(torch.int32)


@op("cumsum")
def cumsum(operands: Operands) -> Tensor:
    """Running sum along ``axis``; without the entry itself where ``exclusive``, from the end where ``reverse``."""
    x, axis = operands["x"], operands.integer("axis", 0)
    x = x.flip(axis) if operands.flag("reverse") else x
    made = x.cumsum(axis)
    made = made - x if operands.flag("exclusive") else made
    return (made.flip(axis) if operands.flag("reverse") else made).to(x.dtype)
