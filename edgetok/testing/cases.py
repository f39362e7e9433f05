"""What an author states: models the method accepts, models it refuses, and what it may lose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgetok.graph import Program
    from edgetok.model import Component
    from edgetok.plugin import TokenReduction

    Factory = Callable[[], Component]


@dataclass(frozen=True)
class Task:
    """What a lossy method may lose on a trained model.

    There is no default bound: state what you measured, with little to spare. The bound must also fail a reduction of
    the same strength that picks tokens at random, or it says nothing about the method.

    Attributes:
        loss: dense program, optimised program -> the loss; larger is worse. May skip where its data is absent.
        at_most: the bound.
        unit: of the loss, e.g. ``"points of accuracy"``.
    """

    loss: Callable[[Program, Program], float]
    at_most: float
    unit: str


@dataclass(frozen=True)
class Case:
    """A model that the plugin must rewrite.

    Attributes:
        id: shown in the names of tests.
        component: makes the model and its example inputs (batch 2 or more); the same one every time.
        plugin: other options for this case; ``None`` takes the kit's ``plugin``.
        task: what the method may lose here.
        export: whether its file is checked too; that is slow, and one model of each kind is enough.
        task_only: whether it is there for its task alone: other checks then leave out this model.
    """

    id: str
    component: Factory
    plugin: TokenReduction | None = None
    task: Task | None = None
    export: bool = True
    task_only: bool = False


@dataclass(frozen=True)
class RefusalCase:
    """A model that the plugin must refuse everywhere.

    Attributes:
        id: shown in the names of tests.
        component: makes the model and its example inputs.
        reason: what a reason given to people must contain.
    """

    id: str
    component: Factory
    reason: str
