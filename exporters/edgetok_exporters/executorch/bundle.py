"""BundledProgram: a program with a test input and what it should give, for a check on the device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from executorch.devtools.bundled_program.config import MethodTestCase
    from executorch.exir import ExecutorchProgramManager

    from edgetok.lowering import Lowered


def example_case(lowered: Lowered) -> MethodTestCase:
    """The example that a program was traced with, and torch's outputs for it."""
    from executorch.devtools.bundled_program.config import MethodTestCase

    with torch.no_grad():
        wanted = lowered.exported.module()(**lowered.example)
    return MethodTestCase(inputs=list(lowered.example.values()), expected_outputs=list(wanted))


def write_bundled(made: ExecutorchProgramManager, case: MethodTestCase, entry: Path) -> Path:
    """Write ``<stem>.bpte`` beside ``entry``."""
    from executorch.devtools import BundledProgram
    from executorch.devtools.bundled_program.config import MethodTestSuite
    from executorch.devtools.bundled_program.serialize import serialize_from_bundled_program_to_flatbuffer

    path = entry.with_suffix(".bpte")
    bundled = BundledProgram(made, [MethodTestSuite("forward", [case])])
    path.write_bytes(serialize_from_bundled_program_to_flatbuffer(bundled))
    return path
