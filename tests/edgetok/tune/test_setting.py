"""What a candidate means in tokens, and which plugins can be tuned."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

import pytest
from pydantic import Field

from edgetok.errors import BadCommand
from edgetok.plugin import TokenReduction
from edgetok.session.prepare import find_tools
from edgetok.tune.setting import Setting, is_tunable, searched
from edgetok_plugins.tome import ToMe


class Optional(TokenReduction):
    name: ClassVar[str] = "optional"
    summary: ClassVar[str] = "Options, no schedule."
    paper: ClassVar[str] = "none"

    strength: float = Field(0.5, json_schema_extra={"search": {"low": 0.1, "high": 0.9}})
    mode: Literal["a", "b"] = Field("a", json_schema_extra={"search": {"choices": ["a", "b"]}})
    other: int = 3


def test_tokens_loads_and_merges(setting):
    found = setting.candidate([4, 0, 2])
    assert found.entering == (24, 20, 20, 18)
    assert found.tokens == (20, 20, 18)
    assert found.tokens_share == pytest.approx(58 / 72)
    assert found.loads == pytest.approx((64 / 72, 60 / 72, 56 / 72))
    assert found.merges == 2
    assert setting.dense.removed == (0, 0, 0)


def test_a_capped_schedule_is_settled(setting):
    asked = setting.candidate([20, 20, 20])
    settled = setting.settled(asked)
    assert settled.plugin.r == asked.removed != (20, 20, 20)
    assert settled.tokens == asked.tokens
    assert all(d.note is None for d in settled.plan.decisions)


def test_search_spaces_are_read_from_fields():
    assert set(searched(Optional())) == {"strength", "mode"}
    assert "r" not in searched(ToMe()), "the schedule sets it"
    assert is_tunable(Optional())
    assert is_tunable(ToMe())


def test_quantisation_is_not_tuned_with_tokens(recipe, prepared):
    both = find_tools(recipe(plugins="tome:r=2,quantize:weights=int8"))
    with pytest.raises(BadCommand, match="quantize"):
        Setting.of(replace(prepared, tools=both))
