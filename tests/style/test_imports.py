"""Imports go one way, plugins stay apart, and what ``edgetok --help`` touches imports nothing heavy."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Source

HEAVY = {"torch", "onnx", "onnxruntime", "onnxscript", "transformers", "coremltools", "executorch", "sklearn", "timm"}
EXTENSIONS = ("edgetok_plugins", "edgetok_exporters", "edgetok_targets")
PARTS = {path.stem for path in (Path(__file__).parents[2] / "edgetok").iterdir()}

LAYERS = {
    **dict.fromkeys(("cli", "api", "testing"), 5),
    **dict.fromkeys(("session", "tune"), 4),
    **dict.fromkeys(
        ("recipe", "options", "model", "ops", "plugin", "precision", "exporter", "target", "hookspecs", "tags"), 2
    ),
    **dict.fromkeys(("errors", "progress", "api_version", "suggest"), 1),
}
MIDDLE = 3
"""What is not in the table: plan, graph, verify, bench, report, registry and what they are made of."""
LIGHT = ("edgetok.cli", "edgetok.errors", "edgetok.hookspecs", "edgetok.plugin", "edgetok.recipe", "edgetok.registry")


def is_type_checking(node: ast.AST) -> bool:
    """Whether ``node`` is ``if TYPE_CHECKING:``."""
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def statements(node: ast.AST, *, functions: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """Import statements that run: not those for the type checker; those inside functions only if asked for."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif is_type_checking(child):
            yield from (part for part in child.orelse if isinstance(part, ast.Import | ast.ImportFrom))
        elif functions or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from statements(child, functions=functions)


def imports(source: Source, *, functions: bool) -> set[str]:
    """Dotted names that ``source`` imports; ``from a import b`` gives both ``a`` and ``a.b``."""
    names = set()
    for statement in statements(source.tree, functions=functions):
        if isinstance(statement, ast.Import):
            names |= {alias.name for alias in statement.names}
        elif statement.module and not statement.level:
            names |= {statement.module} | {f"{statement.module}.{alias.name}" for alias in statement.names}
    return names


def part(module: str) -> str:
    """``edgetok.graph.rules`` belongs to ``graph``."""
    return module.split(".")[1]


def wrong(files: list[Source], rule: Callable[[Source], Iterable[object]]) -> dict[str, list[object]]:
    """What each file has that a rule forbids; files that have nothing of it are left out."""
    assert files, "no file was found"
    return {file.name: found for file in files if (found := list(rule(file)))}


def test_no_relative_imports(sources):
    def relative(file: Source) -> list[int]:
        return [node.lineno for node in ast.walk(file.tree) if isinstance(node, ast.ImportFrom) and node.level]

    assert wrong(sources, relative) == {}


def test_the_core_imports_downwards(core):
    def upwards(file: Source) -> set[str]:
        mine = LAYERS.get(part(file.module), MIDDLE)
        used = {part(name) for name in imports(file, functions=True) if name.startswith("edgetok.")} & PARTS
        return {f"{name}, from layer {mine}" for name in used if LAYERS.get(name, MIDDLE) > mine}

    assert wrong(core, upwards) == {}


def test_the_core_knows_no_plugin_exporter_or_target(core):
    def known(file: Source) -> set[str]:
        return {name for name in imports(file, functions=True) if name.startswith(EXTENSIONS)}

    assert wrong(core, known) == {}


def test_extensions_never_import_each_other(extensions):
    def foreign(file: Source) -> set[str]:
        own = ".".join(file.module.split(".")[:2])
        others = {name for name in imports(file, functions=True) if name.startswith(EXTENSIONS)}
        return {name for name in others if not f"{name}.".startswith(f"{own}.") and name not in EXTENSIONS}

    assert wrong(extensions, foreign) == {}


def test_extensions_import_public_names(extensions):
    def inner(file: Source) -> set[str]:
        names = {name for name in imports(file, functions=True) if name.split(".")[0] == "edgetok"}
        private = {name for name in names if any(piece.startswith("_") for piece in name.split("."))}
        return private | {n for n in names if n.startswith(("edgetok.cli", "edgetok.session", "edgetok.registry"))}

    assert wrong(extensions, inner) == {}


def light_modules(sources: list[Source]) -> dict[str, Source]:
    """What listing touches: the light core modules and every extension's ``__init__``."""
    modules = {source.module: source for source in sources}
    return {
        name: source
        for name, source in modules.items()
        if name.startswith(LIGHT) or (source.path.name == "__init__.py" and name.startswith(EXTENSIONS))
    }


def test_light_modules_reach_nothing_heavy(sources):
    modules = {source.module: source for source in sources}
    reached = {name: name for name in light_modules(sources)}
    waiting = list(reached)
    heavy = []
    while waiting:
        module = waiting.pop()
        for name in imports(modules[module], functions=False):
            if name.split(".")[0] in HEAVY:
                heavy.append(f"{reached[module]} -> {name}")
            parents = [".".join(name.split(".")[:count]) for count in range(1, name.count(".") + 2)]
            for parent in parents:
                if parent in modules and parent not in reached:
                    reached[parent] = f"{reached[module]} -> {parent}"
                    waiting.append(parent)
    assert reached, "no light module was found"
    assert not heavy, "\n".join(heavy)


def test_the_reader_of_imports_reads():
    tree = ast.parse("import a\nif TYPE_CHECKING:\n    import b\ndef f():\n    from c import d\n")
    assert [ast.unparse(node) for node in statements(tree, functions=False)] == ["import a"]
    assert len(list(statements(tree, functions=True))) == 2
