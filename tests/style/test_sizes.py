"""Files of about 120 lines and functions of about 10; nothing beyond 400 and 50."""

from __future__ import annotations

import ast
from statistics import median

LONGEST_FILE = 400
MEDIAN_FILE = 120
LONGEST_FUNCTION = 50
MEDIAN_FUNCTION = 10


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from the ``def`` to the last statement, without the docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def test_no_file_is_long(all_files):
    assert {file.name: file.lines for file in all_files if file.lines > LONGEST_FILE} == {}


def test_no_function_is_long(all_files):
    functions = [(file.name, function) for file in all_files for function in file.functions()]
    long = {(file, f.name): body_lines(f) for file, f in functions if body_lines(f) > LONGEST_FUNCTION}
    assert long == {}


def test_files_are_short_as_a_rule(sources):
    assert median(source.lines for source in sources if source.lines > 1) <= MEDIAN_FILE


def test_functions_are_short_as_a_rule(sources):
    assert median(body_lines(function) for source in sources for function in source.functions()) <= MEDIAN_FUNCTION


def test_the_ruler_measures():
    (function,) = ast.parse('def f():\n    """Doc\n    more."""\n    a = 1\n    return a\n').body
    assert isinstance(function, ast.FunctionDef)
    assert body_lines(function) == 3
