"""Elements as escaped text. Every string is escaped unless it is already :class:`Markup`."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from edgetok.report.wording import clean

VOID = frozenset({"meta", "br", "hr"})


class Markup(str):
    """Text that is markup already; only this module makes it out of data."""

    __slots__ = ()


Child = str | Iterable["Child"] | None


def tag(name: str, /, *children: Child, **attributes: str | float | None) -> Markup:
    """One element: ``tag("p", "a < b", class_="note")`` gives ``<p class="note">a &lt; b</p>``.

    Children may be strings, :class:`Markup`, nested iterables of those, or None. In attribute names a trailing
    underscore is dropped and others become hyphens; attributes that are None are left out.
    """
    pairs = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(clean(_attribute(value)))}"'
        for key, value in attributes.items()
        if value is not None
    )
    opening = f"<{name}{pairs}>"
    return Markup(opening if name in VOID else f"{opening}{join(children)}</{name}>")


def join(children: Child) -> Markup:
    """Children as one piece of markup."""
    if children is None:
        return Markup("")
    if isinstance(children, Markup):
        return children
    if isinstance(children, str):
        return Markup(escape(clean(children)))
    return Markup("".join(join(child) for child in children))


def _attribute(value: str | float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
