"""What weights take by the arithmetic of their bits, beside what the delivered file takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgetok.graph import Program
    from edgetok.session.variants import Variant


def arithmetic(program: Program, dtype: str) -> int:
    """Bytes of all weights of a program: packed ones as they are, floating ones no wider than ``dtype``.

    Scales of packed weights are two bytes in every file. A tensor that two names share counts once.
    """
    tensors = {tensor.data_ptr(): tensor for tensor in program.exported.state_dict.values() if tensor.numel()}
    widest = 2 if dtype == "fp16" else 4
    return sum(
        tensor.numel() * (min(tensor.element_size(), widest) if tensor.is_floating_point() else tensor.element_size())
        for tensor in tensors.values()
    )


def size_note(variant: Variant, dtype: str) -> str:
    """The file's size against that arithmetic, for people."""
    expected, stored = arithmetic(variant.program, dtype), variant.exported.weights
    whole = f"{_kib(variant.bytes)}, {_more(variant.bytes, expected)}"
    said = f"All weights take {_kib(expected)} by the arithmetic of their bits"
    if stored is None:
        return f"{said}; the model's files take {whole}."
    as_stored = f"{_kib(stored)} as the format stores them ({_more(stored, expected)})"
    return f"{said} and {as_stored}; the model's files take {whole}: what else they hold is the graph."


def _kib(size: int) -> str:
    return f"{size / 1024:.0f} KiB"


def _more(size: int, expected: int) -> str:
    return f"{100 * (size / max(expected, 1) - 1):+.1f} %"
