"""Architectures, built small from their configs with random weights: what the support table lists."""

from edgetok.testing.architectures import geometries, pictures, sequences
from edgetok.testing.architectures.architecture import Architecture, Config, Kind

ARCHITECTURES: tuple[Architecture, ...] = (
    *pictures.ARCHITECTURES,
    *geometries.ARCHITECTURES,
    *sequences.ARCHITECTURES,
)
"""All of them, pictures first."""

__all__ = ["ARCHITECTURES", "Architecture", "Config", "Kind"]
