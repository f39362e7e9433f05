"""Types in tables."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import Field

from docs.generate.types import spelled


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "int"),
        (int | None, "int | None"),
        (Annotated[int, Field(ge=0)] | tuple[Annotated[int, Field(ge=0)], float], "int | tuple[int, float]"),
        (tuple[int, ...], "tuple[int, ...]"),
        (Literal["a", "b"], "'a' | 'b'"),
        (dict[str, int | str], "dict[str, int | str]"),
    ],
)
def test_spelled(annotation, text):
    assert spelled(annotation) == text
