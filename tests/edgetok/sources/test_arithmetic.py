"""Which symbolic sizes pass."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgetok.sources.arithmetic import check_expression


@pytest.mark.parametrize(
    "text",
    [
        "s17",
        "2*s17 + 1",
        "Symbol('s17', positive=True, integer=True)",
        "Mul(Integer(2), Symbol('s17', positive=True, integer=True))",
        "FloorDiv(Add(Symbol('s0', integer=True), Integer(-1)), Integer(14))",
        "Pow(Symbol('s0', integer=True), Integer(2))",
        "Equality(Mod(Symbol('u0', integer=True), Integer(4)), Integer(0))",
        "s0 >= 2",
        "Float('0.5', precision=53)",
    ],
)
def test_arithmetic_passes(text: str) -> None:
    check_expression(text)


@pytest.mark.parametrize(
    "text",
    [
        "__",
        "s0\n+ 1",
        "__import__('os')",
        "().__class__",
        "s0.real",
        "[x for x in s0]",
        "lambda: 1",
        "Symbol('__import__(1)')",
        "Symbol('s0', cls=print)",
        "Float(s0)",
        "sympify('s0')",
        "exec('1')",
        "9**9**9",
        "9^9",
        "9**s0",
        "Pow(Integer(9), Pow(Integer(9), Integer(99)))",
        "1 << 10**9",
        "'s0'",
        "f'{s0}'",
        "u99999999",
        "s" * 5000,
        "",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        check_expression(text)


SYMBOLS = st.sampled_from(["s0", "s17", "u1", "Symbol('s3', integer=True)", "Integer(7)", "3", "-2"])
EXPRESSIONS = st.recursive(
    SYMBOLS,
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "//", "%", ">="]), inner)
        | st.builds("FloorDiv({}, {})".format, inner, inner)
        | st.builds("Max({}, {})".format, inner, inner)
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60)
@given(EXPRESSIONS)
def test_any_arithmetic_of_symbols_passes(text: str) -> None:
    check_expression(text)


@settings(deadline=None, max_examples=60)
@given(EXPRESSIONS, st.sampled_from(["{}.real", "open({})", "[{}]", "({} for s0 in s1)", "{} ^ 99", "'{}'", "{} #"]))
def test_one_step_beyond_arithmetic_is_refused(text: str, beyond: str) -> None:
    with pytest.raises(ValueError):
        check_expression(beyond.format(text))
