import json

import pytest

from edgetok.schemas import NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_printed_schema_is_the_published_one(edgetok, repository, name):
    printed = json.loads(edgetok("schema", name).stdout)
    assert printed == json.loads((repository / "docs" / "schema" / f"{name}.schema.json").read_text())
