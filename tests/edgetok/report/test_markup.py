from html import unescape

from hypothesis import given
from hypothesis import strategies as st

from edgetok.report.markup import Markup, join, tag


@given(st.text(alphabet="<>&\"'abc;/! =", max_size=40))
def test_text_and_attributes_survive_and_never_become_elements(text):
    found = tag("p", text, title=text)
    assert found.count("<") == 2
    assert unescape(found[: found.index(">")].removeprefix('<p title="').removesuffix('"')) == text
    assert unescape(found[found.index(">") + 1 : -4]) == text


def test_markup_is_kept_and_nesting_is_flat():
    assert tag("ul", [tag("li", "a"), None, [tag("li", "&")]]) == "<ul><li>a</li><li>&amp;</li></ul>"
    assert isinstance(join(["a"]), Markup)


def test_attribute_names_and_absent_attributes():
    assert tag("line", x1=1.0, class_="grid", aria_label=None) == '<line x1="1" class="grid"></line>'
    assert tag("meta", http_equiv="x") == '<meta http-equiv="x">'
