"""Filling blocks, and links between pages."""

from __future__ import annotations

import re

import pytest

from docs.generate.pages import fill

LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")


def test_fill_replaces_only_what_lies_between_the_marks():
    text = "before\n<!-- generated: a b -->\nold\n<!-- end -->\nafter\n"
    assert fill(text, {"a b": lambda: "new\n\n"}, "page") == text.replace("old", "new")


def test_fill_is_stable():
    once = fill("<!-- generated: a -->\n<!-- end -->", {"a": lambda: "x\n"}, "page")
    assert fill(once, {"a": lambda: "x\n"}, "page") == once


def test_an_unknown_block_is_an_error_that_names_it():
    with pytest.raises(KeyError, match="nothing generates a block 'gone'"):
        fill("<!-- generated: gone -->\n<!-- end -->", {"a": str}, "page")


def test_links_lead_somewhere(repository):
    pages = [*repository.glob("*.md"), *(repository / "docs").rglob("*.md"), repository / "mobile_demo" / "README.md"]
    broken = [
        f"{page.relative_to(repository)}: {target}"
        for page in pages
        for target in LINK.findall(page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert not broken, "\n".join(broken)
