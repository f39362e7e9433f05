"""What a WEIGHTS plugin says it will do, and what it has done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from edgetok.model import Component


class Place(BaseModel):
    """One place that a WEIGHTS plugin looked at.

    Attributes:
        name: the path of the module.
        plugin: whose place it is.
        what: what becomes of its weights, for people.
        refusal: why nothing does, where it does not.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    plugin: str
    what: str = ""
    refusal: str | None = None


@dataclass(frozen=True)
class Reweighted:
    """A component with other weights.

    Attributes:
        component: a new one; the one it was made from is as it was.
        places: what was done where.
        notes: what a user should know, with the figures that decided.
    """

    component: Component
    places: tuple[Place, ...]
    notes: tuple[str, ...] = ()
