"""The option ``prop_attn`` is heeded, and stands where a method declares it."""

from __future__ import annotations

from typing import ClassVar

import pytest
from pydantic import Field

from edgetok.plugin import TokenReduction
from edgetok.proportional import PropAttn, Proportional
from edgetok.registry import installed
from edgetok.schedule import Scheduled

PLUGINS = {name: held.value for name, held in installed().plugins.items() if "prop_attn" in held.value.model_fields}


class Last(Proportional, Scheduled):
    """Merges; the option stands between two of its own."""

    name: ClassVar[str] = "last"

    first: int = 0
    prop_attn: PropAttn = False
    second: int = Field(default=1)


def test_it_stands_where_it_is_declared_with_the_default_of_the_method():
    assert list(Last.model_fields) == ["r", "first", "prop_attn", "second"]
    assert Last().options() == {"r": 8, "first": 0, "prop_attn": False, "second": 1}
    assert "attention" in (Last.model_fields["prop_attn"].description or "")


def test_what_merges_keeps_its_schedule():
    assert Last(r=3).with_schedule([1, 2]).r == (1, 2)


@pytest.mark.parametrize("plugin", PLUGINS.values(), ids=PLUGINS)
def test_every_reduction_that_has_it_heeds_it(plugin: type[TokenReduction]) -> None:
    assert [plugin.model_validate({"prop_attn": flag}).proportional for flag in (False, True)] == [False, True]
