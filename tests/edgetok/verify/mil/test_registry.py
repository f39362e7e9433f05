"""Every operation of the interpreter is named by a test of its own: one that has none cannot be added."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from edgetok.verify.mil import known_ops

HERE = Path(__file__).parent
CASES = (
    "activation",
    "elementwise",
    "indexing",
    "linear",
    "normalisation",
    "pooling",
    "reduction",
    "resizing",
    "shape",
)


def module(name):
    found = importlib.util.spec_from_file_location(f"mil_{name}", HERE / f"test_{name}.py")
    loaded = importlib.util.module_from_spec(found)
    found.loader.exec_module(loaded)
    return loaded


def test_the_tests_name_what_the_interpreter_knows_and_nothing_else():
    pytest.importorskip("coremltools", reason="tests of compressed weights need it")
    cases = {case.kind for name in CASES for case in module(name).CASES}
    compressed = module("compressed")
    cases |= module("states").KINDS
    assert cases | set(compressed.KINDS.values()) | {compressed.CAST} == set(known_ops())
