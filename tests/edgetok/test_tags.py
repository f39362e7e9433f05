import pytest

from edgetok.errors import UnknownTag
from edgetok.tags import TAGS, check_tags


def test_every_tag_has_a_meaning():
    assert all(meaning and tag == tag.lower() for tag, meaning in TAGS.items())
    check_tags("anyone", TAGS)


def test_an_unknown_tag_names_its_owner():
    with pytest.raises(UnknownTag, match="plugin 'acme' uses the unknown tag 'colour'"):
        check_tags("acme", ["colour"])
