"""Figures of an array against its reference."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from edgetok.verify.parity import Figures

EXACT_DB = 400.0


def figures(got: np.ndarray, reference: np.ndarray) -> Figures:
    """Compare one array with its reference, in fp64.

    Args:
        got: what the runtime computed, any dtype.
        reference: what it should be; the same shape.

    Infinite entries must be the same on both sides; nothing agrees with a NaN, not even a NaN. Arrays of integers
    must be equal. Another shape counts every entry as mismatched.
    """
    if got.shape != reference.shape:
        return Figures(max_abs=0.0, rel=0.0, snr_db=-EXACT_DB, mismatched=max(got.size, reference.size, 1))
    exact = not np.issubdtype(reference.dtype, np.floating)
    a, b = got.astype(np.float64), reference.astype(np.float64)
    finite = np.isfinite(a) & np.isfinite(b)
    odd = ~finite & (a != b)
    mismatched = int(odd.sum()) + (int((a != b)[finite].sum()) if exact else 0)
    signal = b[finite]
    error = a[finite] - signal
    max_abs, peak = float(np.abs(error).max(initial=0.0)), float(np.abs(signal).max(initial=0.0))
    rel = max_abs / max(peak, float(np.finfo(np.float32).tiny))
    return Figures(max_abs=max_abs, rel=min(rel, 1e38), snr_db=_decibel(signal, error), mismatched=mismatched)


def _decibel(signal: np.ndarray, error: np.ndarray) -> float:
    noise, power = float(np.square(error).sum()), float(np.square(signal).sum())
    if noise == 0.0:
        return EXACT_DB
    if power == 0.0:
        return -EXACT_DB
    return float(np.clip(10 * np.log10(power / noise), -EXACT_DB, EXACT_DB))


def worst(found: Iterable[Figures]) -> Figures:
    """The worst of each figure over several batches."""
    every = list(found)
    return Figures(
        max_abs=max(f.max_abs for f in every),
        rel=max(f.rel for f in every),
        snr_db=min(f.snr_db for f in every),
        mismatched=sum(f.mismatched for f in every),
    )
