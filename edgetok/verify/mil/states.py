"""States: values that a package keeps between predictions."""

from __future__ import annotations

import json
from collections.abc import Mapping

from torch import Tensor

from edgetok.errors import RuntimeFailed
from edgetok.verify.mil.package import Package
from edgetok.verify.mil.registry import Operands, op

STATES_KEY = "edgetok.states"
"""Metadata of a package: by the name of each state, the output of the program that it is next."""
WRITE = "write_state"


@op("read_state")
def read_state(operands: Operands) -> Tensor:
    """What a state holds."""
    return operands["input"]


@op(WRITE)
def write_state(operands: Operands) -> tuple[Tensor, ...]:
    """Makes nothing: the runner has the state hold ``data`` from now on."""
    operands["data"]
    return ()


def next_of(package: Package, states: tuple[str, ...]) -> Mapping[str, str]:
    """The name under which each state's next value is given: what the package says, or the state's own.

    Raises:
        RuntimeFailed: what it says is no such thing.
    """
    text = package.spec.description.metadata.userDefined.get(STATES_KEY)
    if text is None:
        return {name: name for name in states}
    try:
        found = json.loads(text)
        return {name: str(found[name]) for name in states}
    except (KeyError, TypeError, ValueError) as error:
        raise RuntimeFailed(
            f"{package.path.name} does not say what its states are next.",
            why=f"{STATES_KEY} in its metadata names none for {', '.join(states)}",
            hint="Export it again.",
        ) from error
