"""Pages with their generated blocks filled in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from docs.generate import commands, errors, experts, figures, methods, pareto, plugins, recipe, support, targets, tuned

BLOCK = re.compile(r"(<!-- generated: (?P<name>[\w /.-]+?) -->\n).*?(<!-- end -->)", re.DOTALL)

Blocks = Mapping[str, Callable[[], str]]


def blocks(root: Path) -> dict[str, Callable[[], str]]:
    """Every block by name; none is computed before a page asks for it."""
    return {
        **errors.blocks(),
        **commands.blocks(),
        **recipe.blocks(),
        **plugins.blocks(),
        **targets.blocks(),
        **figures.blocks(root / "benchmarks" / "results"),
        **support.blocks(root / "benchmarks" / "results"),
        **tuned.blocks(root / "benchmarks" / "results"),
        **experts.blocks(root / "benchmarks" / "results"),
        **methods.blocks(root / "benchmarks" / "results"),
        **pareto.blocks(root / "benchmarks" / "results"),
    }


def fill(text: str, known: Blocks, page: str) -> str:
    """``text`` with the contents of its blocks replaced.

    Raises:
        KeyError: a block has a name that nothing generates.
    """

    def replace(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in known:
            raise KeyError(f"{page}: nothing generates a block {name!r}; there are: {', '.join(sorted(known))}")
        return f"{match[1]}{known[name]().strip()}\n{match[3]}"

    return BLOCK.sub(replace, text)


def current_pages(root: Path) -> dict[Path, str]:
    """README.md, pages and charts of docs/ as they should be, and a page for each plugin that has none yet."""
    known = blocks(root)
    texts = {
        path: path.read_text(encoding="utf-8") for path in [root / "README.md", *sorted((root / "docs").rglob("*.md"))]
    }
    for name in plugins.names():
        texts.setdefault(root / "docs" / "plugins" / f"{name}.md", plugins.skeleton(name))
    pages = {path: fill(text, known, path.relative_to(root).as_posix()) for path, text in texts.items()}
    return {**pages, **pareto.files(root)}
