"""Where simulating is slow, few samples are taken unless the recipe says how many, and the report says so."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgetok.evaluate.dataset import Samples
from edgetok.recipe import EvalSettings, Recipe
from edgetok.registry import installed
from edgetok.session.evidence import within_reach
from edgetok.session.inputs import Fitted


@pytest.fixture
def data() -> Fitted:
    return Fitted(Samples("pictures", tuple(({"x": np.zeros(2, np.float32)}, 0) for _ in range(50))), ())


def taken(target: str, data: Fitted, limit: int | None = None) -> tuple[int, str]:
    prepared: Any = SimpleNamespace(tools=SimpleNamespace(target=installed().target(target)))
    found, said = within_reach(prepared, Recipe(model="m", eval=EvalSettings(limit=limit)), data)
    return len(found), said


def test_a_slow_simulator_takes_the_first_samples_and_says_of_how_many(data: Fitted) -> None:
    count, said = taken("executorch-ethos-u", data)
    assert count == installed().target("executorch-ethos-u").samples < 50
    assert "first of 50" in said
    assert "--limit" in said


def test_a_limit_is_kept(data: Fitted) -> None:
    assert taken("executorch-ethos-u", data, limit=50) == (50, "")


def test_what_is_run_takes_all(data: Fitted) -> None:
    assert taken("onnx-cpu", data) == (50, "")
