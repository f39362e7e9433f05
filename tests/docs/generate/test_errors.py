"""The page of errors has every error."""

from __future__ import annotations

import edgetok.errors
from docs.generate import errors


def test_every_code_is_listed_once():
    text = errors.reference()
    for name in edgetok.errors.__all__:
        error = getattr(edgetok.errors, name)
        if not name.endswith("Error"):
            assert text.count(f"| `{error.code}` | `{name}` |") == 1


def test_codes_are_unique():
    codes = [error.code for family in errors.families() for error in errors.members(family)]
    assert len(codes) == len(set(codes))
    assert codes == sorted(codes)
