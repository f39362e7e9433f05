from dataclasses import replace
from typing import ClassVar

import pytest

from edgetok import Plugin, TokenReduction
from edgetok.errors import BadSchedule, NothingToRewrite, PluginFailed, UnsupportedModel
from edgetok.graph import find_sites
from edgetok.plan import count_tokens, make_plan, steps_of
from edgetok.target import Target
from edgetok.testing import zoo
from edgetok.testing.trial import subject
from edgetok_plugins.tome import ToMe

TARGET = Target(name="here", summary="", exporter="none", runtime="torch")


class Fixed(TokenReduction):
    """Leaves a number of tokens at the first site."""

    name: ClassVar[str] = "fixed"
    summary: ClassVar[str] = "for tests"
    paper: ClassVar[str] = "none"
    to: int = 20

    def keep(self, site, tokens):
        return self.to if site.index == 0 else tokens


class Refusing(Fixed):
    name: ClassVar[str] = "refusing"

    def refuses(self, site):
        return f"not at {site.index}"


class Raising(Fixed):
    name: ClassVar[str] = "raising"

    def keep(self, site, tokens):
        raise ZeroDivisionError("oh")


class Careful(Fixed):
    name: ClassVar[str] = "careful"

    def refuses(self, site):
        raise UnsupportedModel("a coded error")


class Weights(Plugin):
    name: ClassVar[str] = "weights"
    summary: ClassVar[str] = "for tests"
    paper: ClassVar[str] = "none"
    stages: ClassVar[tuple] = ("weights",)


@pytest.fixture(scope="module")
def program():
    return subject(zoo.vit).program


@pytest.fixture(scope="module")
def sites(program):
    return find_sites(program)


@pytest.fixture(scope="module")
def plan(program, sites):
    return lambda *plugins, **options: make_plan(program, options.pop("sites", sites), plugins, TARGET, **options)


def test_tokens_per_site(plan):
    made = plan(ToMe(r=4))
    assert [(d.tokens, d.keep) for d in made.decisions] == [(26, 22), (22, 18), (18, 14)]
    assert (made.dense_tokens, made.tokens) == ((26, 26, 26, 26), (26, 22, 18, 14))


def test_several_plugins_act_at_each_site_in_order(plan, sites):
    plugins = (ToMe(r=4), Fixed(to=9))
    made = plan(*plugins)
    assert [(d.plugin, d.tokens, d.keep) for d in made.decisions[:3]] == [
        ("tome", 26, 22),
        ("fixed", 22, 9),
        ("tome", 9, 5),
    ]
    assert made.tokens == (26, 9, 5, 3)
    steps = steps_of(made, sites, plugins)
    assert [(s.site.index, s.plugin.name, s.keep) for s in steps] == [
        (0, "tome", 22),
        (0, "fixed", 9),
        (1, "tome", 5),
        (2, "tome", 3),
    ]


def test_nothing_is_inserted_where_no_token_goes(plan, sites):
    made = plan(ToMe(r=0))
    assert steps_of(made, sites, [ToMe(r=0)]) == []
    assert made.tokens == made.dense_tokens


def test_a_cap_is_noted(plan):
    made = plan(ToMe(r=1000))
    assert made.decisions[0].note == "r = 1000 is capped at 12, half of the mergeable tokens"
    assert "(r = 1000 is capped at 12" in str(made)


@pytest.mark.parametrize("keep", [27, 1, 0, -5])
def test_impossible_numbers_are_refused(plan, keep):
    with pytest.raises(BadSchedule, match=f"leave {keep} of 26"):
        plan(Fixed(to=keep))


def test_a_plugin_that_is_refused_everywhere_is_an_error_with_the_reasons(plan):
    with pytest.raises(NothingToRewrite) as caught:
        plan(ToMe(r=4), Refusing())
    assert caught.value.why == "not at 0; not at 1; not at 2"
    lenient = plan(Refusing(), strict=False)
    assert [d.refusal for d in lenient.decisions] == ["not at 0", "not at 1", "not at 2"]
    assert lenient.tokens == lenient.dense_tokens


def test_a_plugin_that_is_capped_to_nothing_is_an_error(plan, sites):
    small = [replace(site, protected=site.tokens - 1) for site in sites]
    with pytest.raises(NothingToRewrite, match="found no place") as caught:
        plan(ToMe(r=4), sites=small)
    assert "capped at 0" in caught.value.why
    assert plan(ToMe(r=0), sites=small).tokens == (26, 26, 26, 26)


def test_a_plugin_of_another_stage_is_an_error_and_no_shrug(plan):
    with pytest.raises(NothingToRewrite) as caught:
        plan(Weights())
    assert "it acts in weights" in caught.value.why


def test_a_model_without_attention(program):
    with pytest.raises(NothingToRewrite) as caught:
        make_plan(program, [], [ToMe(r=4)], TARGET)
    assert "no self-attention" in caught.value.why


def test_a_plugin_that_raises_is_named(plan):
    with pytest.raises(PluginFailed, match="'raising'") as caught:
        plan(Raising())
    assert caught.value.why == "ZeroDivisionError: oh"
    with pytest.raises(UnsupportedModel, match="a coded error"):
        plan(Careful())


def test_a_symbolic_number_of_tokens_is_never_shown_as_one():
    program = subject(zoo.symbolic_tokens).program
    sites = find_sites(program)
    made = make_plan(program, sites, [ToMe(r=4)], TARGET, strict=False)
    assert {count_tokens(program, site) for site in sites} == {0}
    assert made.tokens == (0, 0, 0, 0)
    assert "any any any any" in str(made)
    assert max(len(word) for word in str(made).split()) < 50


@pytest.mark.parametrize("name", ["vit", "bert", "dinov2_registers", "dinov3", "windowed", "causal", "symbolic_tokens"])
def test_golden_plans(name, golden):
    program = subject(getattr(zoo, name)).program
    made = make_plan(program, find_sites(program), [ToMe(r=(3, -1.0))], TARGET, strict=False)
    first, *rest = str(made).splitlines()
    assert first.startswith(f"plan {made.digest[:12]} for")
    golden(f"plan/{name}.txt", "\n".join([first.replace(made.digest[:12], "DIGEST"), *rest]))
