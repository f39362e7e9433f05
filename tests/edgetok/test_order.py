from dataclasses import dataclass
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetok.errors import BadRecipe, OrderCycle, TagConflict, UnknownTag
from edgetok.order import order
from edgetok.tags import TAGS


@dataclass(frozen=True)
class Method:
    name: str
    after: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()


MERGE = Method("z-merge", changes=("token-count",))
CACHE = Method("cache", after=("token-count",), changes=("kv-cache",))
QUANT = Method("a-quant", after=("token-count", "kv-cache"), changes=("precision",))


def names(plugins, pins=()):
    return [p.name for p in order(plugins, pins)]


def test_tags_decide_whatever_order_was_given():
    for given_order in permutations([MERGE, CACHE, QUANT]):
        assert names(given_order) == ["z-merge", "cache", "a-quant"]


def test_names_decide_where_tags_do_not():
    plugins = [Method("b"), Method("a"), Method("c", changes=("io",))]
    assert names(plugins) == names(plugins[::-1]) == ["a", "b", "c"]


def test_a_plugin_may_come_after_what_it_changes_itself():
    assert names([Method("a", after=("io",), changes=("io",))]) == ["a"]


def test_pins_add_to_tags():
    a, b = Method("a"), Method("b")
    assert names([a, b], pins=["b", "a"]) == ["b", "a"]


def test_pins_cannot_overrule_tags():
    with pytest.raises(OrderCycle) as error:
        order([MERGE, CACHE], pins=["cache", "z-merge"])
    assert "the recipe pins 'cache' before 'z-merge'" in error.value.why
    assert "'cache' comes after changes of token-count" in error.value.why


def test_a_pin_of_nothing_is_refused():
    with pytest.raises(BadRecipe, match="pins 'merge'"):
        order([MERGE, CACHE], pins=["merge", "cache"])


def test_cycles_are_named():
    a = Method("a", after=("io",), changes=("steps",))
    b = Method("b", after=("steps",), changes=("weights",))
    c = Method("c", after=("weights",), changes=("io",))
    with pytest.raises(OrderCycle) as error:
        order([a, b, c, Method("d", after=("io",))])
    assert "circular order: a -> b -> c -> a" in error.value.what
    assert error.value.why.count(";") == 2


def test_exclusion_is_found_from_either_side():
    other = Method("other", excludes=("token-count",))
    for pair in ([MERGE, other], [other, MERGE]):
        with pytest.raises(TagConflict, match="'other' and 'z-merge' cannot be combined"):
            order(pair)


@pytest.mark.parametrize("field", ["after", "changes", "excludes"])
def test_unknown_tags_are_refused_with_the_nearest(field):
    with pytest.raises(UnknownTag) as error:
        order([Method("a", **{field: ("token-cont",)})])
    assert "did you mean 'token-count'?" in error.value.hint


tags = st.lists(st.sampled_from(sorted(TAGS)), max_size=2, unique=True).map(tuple)


@given(st.lists(st.tuples(tags, tags), max_size=6), st.randoms(use_true_random=False))
def test_order_meets_every_tag_or_says_that_it_cannot(rows, random):
    plugins = [Method(f"p{i}", after, changes) for i, (after, changes) in enumerate(rows)]
    shuffled = random.sample(plugins, len(plugins))
    try:
        result = order(plugins)
    except OrderCycle as error:
        with pytest.raises(OrderCycle, match=error.what):
            order(shuffled)
        return
    assert order(shuffled) == result
    for i, early in enumerate(result):
        for late in result[i + 1 :]:
            assert not set(early.after) & set(late.changes), (early, late)
