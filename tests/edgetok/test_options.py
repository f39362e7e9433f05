from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from edgetok.errors import BadOption
from edgetok.options import build, describe, parse_uses, parse_value, split, type_name


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")
    r: int | list[int] = Field(8, description="tokens per layer")
    prop_attn: bool = True
    order: str


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8", 8),
        (" -1.0 ", -1.0),
        ("1e-3", 1e-3),
        ("true", True),
        ("False", False),
        ("null", None),
        ("kept", "kept"),
        ("'8'", "8"),
        ("[8,8,4]", [8, 8, 4]),
        ("(8,-1.0)", (8, -1.0)),
        ("[[1,2],[a,true]]", [[1, 2], ["a", True]]),
        ("[]", []),
        ("", ""),
        ("__import__('os')", "__import__('os')"),
        ("1+1j", "1+1j"),
        ("a.b:c", "a.b:c"),
    ],
)
def test_values(text, value):
    read = parse_value(text)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "uses"),
    [
        ("tome", {"tome": {}}),
        ("tome:r=8,prop_attn=true", {"tome": {"r": 8, "prop_attn": True}}),
        ("tome,mc-moe", {"tome": {}, "mc-moe": {}}),
        ("tome:r=[8,8,4],order=kept,mc-moe:bits=2", {"tome": {"r": [8, 8, 4], "order": "kept"}, "mc-moe": {"bits": 2}}),
        ("tome:r=(8,-1.0)", {"tome": {"r": (8, -1.0)}}),
        ("tome:path=a:b", {"tome": {"path": "a:b"}}),
        ("tome:", {"tome": {}}),
        ("", {}),
    ],
)
def test_uses(text, uses):
    assert parse_uses(text) == uses


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tome:r=[8", "missing ']'"),
        ("tome:r=8]", "unmatched ']'"),
        ("tome:r=[8)", "unmatched ')'"),
        ("tome,tome", "given twice"),
        ("tome:r=1,r=2", "option 'r' of 'tome' is given twice"),
        ("r=8", "is no option"),
        ("tome:=8", "is no option"),
        ("to me", "is no plugin name"),
    ],
)
def test_bad_uses(text, says):
    with pytest.raises(BadOption, match=says.replace("[", r"\[").replace("]", r"\]").replace(")", r"\)")):
        parse_uses(text)


values = st.recursive(
    st.integers() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.none(),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(st.from_regex(r"[a-z]{1,6}", fullmatch=True), values, max_size=4))
def test_what_is_written_is_read(options):
    text = "plug:" + ",".join(f"{k}={v!r}" for k, v in options.items())
    assert parse_uses(text) == {"plug": options}


@given(st.text(alphabet="ab:=,[]() '1.", max_size=12))
def test_any_text_is_read_or_refused(text):
    try:
        uses = parse_uses(text)
    except BadOption:
        return
    assert all(uses)
    assert split(text) or not uses


def test_build_validates():
    assert build(Options, {"order": "kept"}, "plugin 'x'").r == 8


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"order": "kept", "ordr": 1}, "plugin 'x' has no option 'ordr'"),
        ({"order": "kept", "prop_attn": "maybe"}, "option 'prop_attn' of plugin 'x' cannot be 'maybe'"),
        ({"order": "kept", "r": True}, "option 'r' of plugin 'x' cannot be True"),
        ({}, "option 'order' of plugin 'x' is missing"),
    ],
)
def test_bad_options_list_the_valid_ones(options, what):
    with pytest.raises(BadOption) as error:
        build(Options, options, "plugin 'x'")
    assert error.value.what == what
    assert "r: int | list[int] = 8; prop_attn: bool = True; order: str" in error.value.hint


def test_describe_names_types_and_defaults():
    assert describe(Options) == ["r: int | list[int] = 8", "prop_attn: bool = True", "order: str"]


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "int"),
        (int | None, "int | null"),
        (Literal["a", "b"], "'a' | 'b'"),
        (Annotated[int, Field(ge=0)] | tuple[Annotated[int, Field(ge=0)], ...], "int | tuple[int, ...]"),
        (dict[str, list[float]], "dict[str, list[float]]"),
        (Any, "Any"),
        (list, "list"),
    ],
)
def test_types_are_named_as_people_write_them(annotation, text):
    assert type_name(annotation) == text
