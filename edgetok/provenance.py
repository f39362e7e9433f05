"""Where a graph's nodes come from, as PyTorch notes it down: shared between graphs instead of copied."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.export import ExportedProgram
from torch.fx.traceback import NodeSource


@contextmanager
def shared_provenance() -> Iterator[None]:
    """Inside the block a node's history is one object, whichever graph it is in.

    Every pass of PyTorch deep-copies the history of every node it visits, which holds that of all passes before it:
    with the ninety passes of an ExecuTorch lowering that is a quarter of the time. Nobody changes a history.
    """
    if hasattr(NodeSource, "__deepcopy__"):
        yield
        return
    NodeSource.__deepcopy__ = _itself  # type: ignore[attr-defined]
    try:
        yield
    finally:
        del NodeSource.__deepcopy__  # type: ignore[attr-defined]


def _itself(source: NodeSource, memo: dict[int, Any]) -> NodeSource:
    return source


TRACER = "_torchdynamo_"
"""How keys begin under which torch notes on a node which of its own functions traced it."""


def traceable(exported: ExportedProgram) -> nn.Module:
    """A program as a module that ``torch.export`` takes, whatever was traced in this process before.

    torch notes on inputs which of its functions traced them, and refuses to trace a module again whose notes differ
    from those it would make now (``Mismatch in custom metadata``): they depend on whether dynamo was in use then.
    """
    module = exported.module(check_guards=False)
    for node in module.graph.nodes:
        if custom := node.meta.get("custom"):
            node.meta["custom"] = {key: value for key, value in custom.items() if not key.startswith(TRACER)}
    return module
