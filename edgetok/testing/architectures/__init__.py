"""Architectures of transformers, built small from their configs with random weights: what the support table lists."""

from edgetok.testing.architectures import pictures, sequences
from edgetok.testing.architectures.architecture import Architecture, Config, Kind

ARCHITECTURES: tuple[Architecture, ...] = (*pictures.ARCHITECTURES, *sequences.ARCHITECTURES)
"""All of them, pictures first."""

__all__ = ["ARCHITECTURES", "Architecture", "Config", "Kind"]
