"""What a search tries first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgetok.tune.guesses import first_guesses, latest_start
from edgetok_plugins.kth import Kth
from edgetok_plugins.tome import ToMe


@pytest.mark.parametrize(("layers", "latest"), [(1, 0), (2, 0), (3, 1), (6, 2), (12, 3), (24, 6)])
def test_schedules_start_within_the_first_quarter(layers, latest):
    assert latest_start(layers) == latest


def test_constant_from_every_start_with_and_without_the_options_guess(setting):
    found = {guess.origin: guess for guess in first_guesses(setting)}
    assert list(found) == [
        "constant", "constant from layer 2", "constant, protect 0.05", "constant from layer 2, protect 0.05",
        "decreasing", "increasing",
    ]  # fmt: skip
    assert [guess.start for guess in found.values()] == [0, 1, 0, 1, 0, 0]
    assert found["constant, protect 0.05"].options == {"protect": 0.05}


def test_twelve_layers_have_four_starts(setting):
    deep = replace(setting)
    deep.__dict__["layers"] = 12
    assert [guess.start for guess in first_guesses(deep)][:4] == [0, 1, 2, 3]


def test_a_guess_that_is_given_is_not_guessed_again(setting):
    given = replace(setting, plugin=ToMe(protect=0.05))
    assert not any(guess.options for guess in first_guesses(given))


def test_schedules_found_elsewhere_are_among_them(setting):
    assert first_guesses(setting, {"along": (3, 0, 1)})[-1].weights == (3, 0, 1)


def test_a_plugin_without_a_schedule_is_tried_as_given(setting):
    assert [guess.origin for guess in first_guesses(replace(setting, plugin=Kth(layers=(1,))))] == ["options as given"]
