"""Symbolic sizes as large primes, so that label arithmetic is integer arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sympy  # type: ignore[import-untyped]
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

FIRST_PRIME = 2**61 - 1
"""Far above any real axis, so that a symbol's prime divides a size only where the symbol does."""


class Symbols:
    """Maps the symbols of one graph to primes and sizes to integers."""

    def __init__(self) -> None:
        self._primes: dict[sympy.Symbol, int] = {}

    def prime(self, symbol: sympy.Symbol) -> int:
        """The prime that stands for ``symbol``."""
        if symbol not in self._primes:
            last = max(self._primes.values(), default=FIRST_PRIME - 1)
            self._primes[symbol] = int(sympy.nextprime(last))
        return self._primes[symbol]

    def size(self, dim: int | torch.SymInt) -> int:
        """A dimension as an integer over primes."""
        if isinstance(dim, int):
            return dim
        expr = dim.node.expr
        return int(expr.subs({s: self.prime(s) for s in expr.free_symbols}))

    def sizes(self, shape: Sequence[int | torch.SymInt]) -> tuple[int, ...]:
        """A shape as integers over primes."""
        return tuple(self.size(d) for d in shape)

    def factor(self, n: int) -> tuple[int, list[int]]:
        """A size as a plain number and the primes of the symbols it is a multiple of."""
        primes: list[int] = []
        for prime in self._primes.values():
            while n and n % prime == 0:
                n //= prime
                primes.append(prime)
        return n, primes

    def is_symbolic(self, n: int) -> bool:
        """Whether a factor of size ``n`` is a symbol."""
        return n in self._primes.values()
