"""Latency of variants interleaved in one process; cold load and peak memory in fresh ones."""

from edgetok.bench.cold import Cold, measure_cold
from edgetok.bench.latency import Latency, Ratio, Times, bench
from edgetok.bench.quiet import load_average, require_quiet

__all__ = ["Cold", "Latency", "Ratio", "Times", "bench", "load_average", "measure_cold", "require_quiet"]
