"""Does the captured program compute what the user's module computes? Asked before anything is compared with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.utils._pytree import tree_leaves

from edgetok.errors import ParityFailed
from edgetok.verify.compare import figures, worst

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from edgetok.graph import Program
    from edgetok.session.prepare import Prepared
    from edgetok.verify import Figures

_REL = {torch.float32: 1e-4, torch.float64: 1e-6, torch.float16: 2e-2, torch.bfloat16: 8e-2}
"""Largest difference over the output's peak: other kernels (a mask less, attention fused) in the module's own dtype."""


def check_capture(prepared: Prepared, dense: Program) -> str:
    """Run the module and its dense program, both in torch, on the example inputs; say how near they are.

    Raises:
        ParityFailed: they differ by more than rounding.
    """
    with torch.no_grad():
        want = [t.detach() for t in _module_outputs(prepared)]
        got = dense.exported.module()(**dense.example)
    found = worst(figures(_array(g), _array(w)) for g, w in zip(got, want, strict=True))
    if found.rel > _bound(want) or found.mismatched:
        raise _differs(found, _bound(want))
    return f"The dense program gives the module's own outputs in torch within {found.rel:.2g} of their peak."


def _module_outputs(prepared: Prepared) -> list[Tensor]:
    """What the module returns, with the weights that the program has."""
    module, program = prepared.component.module, prepared.program
    state = program.exported.state_dict
    names = (name for tensors in (module.named_parameters(), module.named_buffers()) for name, _ in tensors)
    own = {name: state[name] for name in names if name in state}
    outputs = torch.func.functional_call(module, own, (), dict(program.example))
    return [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, torch.Tensor)]


def _array(tensor: Tensor) -> np.ndarray:
    array: np.ndarray = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return array


def _bound(outputs: list[Tensor]) -> float:
    return max((_REL.get(t.dtype, 0.0) for t in outputs), default=0.0)


def _differs(found: Figures, bound: float) -> ParityFailed:
    return ParityFailed(
        "The captured program does not compute what the module computes.",
        why=f"on the example inputs it has {found}; at most {bound:g} of the peak is rounding",
        hint="If the module draws random numbers or holds NaN, mend that; otherwise please report its architecture.",
    )
