"""Where a token space occurs on axes: whole, in part, folded, or not at all."""

from __future__ import annotations

from edgetok.graph.factors import Factor
from edgetok.graph.space import Space

BATCH, CHANNELS = Factor(3, "batch"), Factor(8, "channels")
PATCHES = Factor(16, "patches")
WHOLE = Factor(19, "tokens", segments=((), (PATCHES,), (), ()))
SPACE = Space(0, (WHOLE,), ((), (PATCHES,), (), ()))


def found(*axes):
    return [(o.axis, o.start, o.stop, o.first, o.last) for o in SPACE.occurrences(axes)]


def test_counts():
    assert SPACE.sizes == (1, 16, 1, 1)
    assert (SPACE.tokens, SPACE.main, SPACE.protected, SPACE.trailing) == (19, 1, 1, 2)


def test_the_whole_space_and_its_main_segment():
    assert found((BATCH,), (WHOLE,), (CHANNELS,)) == [(1, 0, 1, 0, 4)]
    assert found((BATCH,), (PATCHES,)) == [(1, 0, 1, 1, 2)]
    assert found((BATCH, WHOLE), (CHANNELS,)) == [(0, 1, 2, 0, 4)]
    assert found((WHOLE,), (WHOLE,)) == [(0, 0, 1, 0, 4), (1, 0, 1, 0, 4)]


def test_consecutive_segments_with_the_main_one():
    assert found((Factor(17, "x", segments=((), (PATCHES,))),)) == [(0, 0, 1, 0, 2)]
    assert found((Factor(18, "x", segments=((PATCHES,), (), ())),)) == [(0, 0, 1, 1, 4)]


def test_other_things_are_not_the_space():
    other = Factor(16, "other")
    assert found((other,), (CHANNELS,), ()) == []
    assert found((Factor(17, "x", segments=((), (other,))),)) == []
    assert found((Factor(20, "x", segments=((PATCHES,), (other,))),)) == []
    assert not SPACE.carried_by(((BATCH,), ()))


def test_a_space_of_two_factors():
    frames, places = Factor(4, "frames"), Factor(9, "places")
    space = Space(0, (frames, places), ((frames, places),))
    assert space.tokens == 36
    assert [o.start for o in space.occurrences(((BATCH, frames, places),))] == [1]
    assert not space.carried_by(((frames,), (places,)))
    assert not space.carried_by(((places, frames),))
