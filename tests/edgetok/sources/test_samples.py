"""Samples that come with the project."""

from pathlib import Path

import pytest

from edgetok.errors import ModelNotFound
from edgetok.sources.samples import load_sample, sample_roots


def test_mistyped_sample_has_a_suggestion() -> None:
    names = sorted(path.parent.name for root in sample_roots() for path in root.glob("*/config.json"))
    if not names:
        pytest.skip("no samples here")
    with pytest.raises(ModelNotFound, match=f"Did you mean sample:{names[0]}"):
        load_sample(names[0][:-1], source="")


@pytest.mark.parametrize("name", ["..", "../samples", "/"])
def test_samples_are_names_not_paths(name: str) -> None:
    assert all(isinstance(root, Path) for root in sample_roots())
    with pytest.raises(ModelNotFound):
        load_sample(name, source="")
