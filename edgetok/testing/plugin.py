"""The conformance kit for plugins: subclass :class:`PluginConformance`, state a few attributes, run pytest."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from edgetok.testing.declaration import DeclarationChecks
from edgetok.testing.delivery import DeliveryChecks
from edgetok.testing.rewriting import RewritingChecks
from edgetok.testing.tokens import TokenChecks

if TYPE_CHECKING:
    from edgetok.plugin import TokenReduction

GUARD = "test_no_check_is_overridden_without_a_reason"


class PluginConformance(DeclarationChecks, RewritingChecks, TokenChecks, DeliveryChecks):
    """Every promise of a token reduction, checked, for what an author states.

        class TestMine(PluginConformance):
            plugin = Mine(strength=2)
            zero = Mine(strength=0)
            accepts = (*zoo.ACCEPTED, digits.case(Mine(strength=16), at_most=1.0))
            refuses = zoo.REFUSED

    A check that cannot hold is overridden under ``@pytest.mark.xfail(reason=...)`` or ``skip(reason=...)``, where
    readers see it.
    """

    plugin: TokenReduction

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if GUARD in cls.__dict__:
            raise TypeError(f"{cls.__name__} overrides {GUARD}, which is never allowed")

    def test_no_check_is_overridden_without_a_reason(self) -> None:
        """A check of the kit is replaced only under ``xfail`` or ``skip`` with a reason."""
        silent = [name for name in check_names() if _is_overridden(type(self), name) and not _reasons(type(self), name)]
        assert not silent, f"overridden without a reason: {', '.join(silent)}"


def check_names(kit: type = PluginConformance) -> list[str]:
    """The names of all checks of a kit."""
    return [name for name in dir(kit) if name.startswith("test_")]


def checks(cls: type[PluginConformance]) -> Iterator[tuple[str, str, Callable[[], None]]]:
    """Every check of a kit class as ``(name, case id, call)``: for running it without pytest."""
    kit = cls()
    rows = kit.rows()
    for name in check_names():
        function = getattr(kit, name)
        if not callable(function):
            continue
        wanted = list(inspect.signature(function).parameters)
        if not wanted:
            yield name, "", function
        for case in rows[wanted[0]] if wanted else ():
            yield name, case.id, lambda function=function, case=case: function(case)  # type: ignore[misc]


def _is_overridden(cls: type, name: str) -> bool:
    return getattr(cls, name, None) is not getattr(PluginConformance, name)


def _reasons(cls: type, name: str) -> list[str]:
    marks = getattr(getattr(cls, name, None), "pytestmark", [])
    return [mark.kwargs["reason"] for mark in marks if mark.name in ("xfail", "skip") and mark.kwargs.get("reason")]
