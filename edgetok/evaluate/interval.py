"""A confidence interval for the difference of two proportions that were measured on the same samples."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

METHOD = "Tango's score interval for paired proportions (Statistics in Medicine 17, 1998), 95 %"


def paired_interval(only_first: int, only_second: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    r"""Tango's score interval for ``(only_first - only_second) / n``.

    It holds every :math:`\delta` with :math:`|b - c - n\delta| \le z \sqrt{n (2 q + \delta (1 - \delta))}`, where b
    and c count the samples that only the first and only the second got right, and q is the maximum-likelihood
    estimate of c's probability under :math:`\delta`. It leaves out 0 exactly where McNemar's test rejects.

    Args:
        only_first: samples that only the first got right.
        only_second: samples that only the second got right.
        n: all samples.
        confidence: of the interval.

    Returns:
        Lower and upper end, between -1 and 1.
    """
    if n < 1 or min(only_first, only_second) < 0 or only_first + only_second > n:
        raise ValueError(f"{only_first} and {only_second} of {n} samples")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    estimate = (only_first - only_second) / n
    lower = -_reach(only_second, only_first, n, -estimate, z)
    return lower, _reach(only_first, only_second, n, estimate, z)


def _reach(b: int, c: int, n: int, estimate: float, z: float) -> float:
    """The largest difference that the samples do not reject, by bisection upwards from the estimate."""
    low, high = estimate, 1.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _score(b, c, n, middle) >= -z else (low, middle)
    return (low + high) / 2


def _score(b: int, c: int, n: int, delta: float) -> float:
    linear = -b - c + (2 * n - b + c) * delta
    q = (sqrt(max(linear**2 + 8 * n * c * delta * (1 - delta), 0.0)) - linear) / (4 * n)
    variance = n * (2 * q + delta * (1 - delta))
    excess = b - c - n * delta
    if variance <= 1e-12 * n:
        return 0.0 if abs(excess) < 1e-9 * n else float("-inf") if excess < 0 else float("inf")
    return excess / sqrt(variance)
