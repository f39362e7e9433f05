"""Architectures that see in three dimensions. transformers has none, so they are blocks of our own."""

from __future__ import annotations

from torch import Tensor

from edgetok.testing.architectures.architecture import Architecture, drawn

HOME = "edgetok.testing.geometry"


def _groups() -> dict[str, Tensor]:
    """Two clouds of 16 groups of 8 points."""
    return {"neighbourhood": drawn(2, 16, 8, 3), "centre": drawn(2, 16, 3)}


def _points() -> dict[str, Tensor]:
    return {"points": drawn(2, 24, 3)}


def _views() -> dict[str, Tensor]:
    """Two scenes of 3 frames of 9 patches."""
    return {"patches": drawn(2, 3, 9, 32)}


ARCHITECTURES = (
    Architecture("Point-MAE encoder", "3-D geometry", f"{HOME}.PointGroups", "", {}, _groups),
    Architecture("PCT, every point a token", "3-D geometry", f"{HOME}.PointParts", "", {}, _points),
    Architecture("VGGT, alternating attention", "3-D geometry", f"{HOME}.Views", "", {}, _views),
)
"""Point clouds and frames of a scene."""
