"""Selection against a plain sort, and its realisations against each other."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgetok import ops
from edgetok.ops.select import sort_free_select, sort_select


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=20), st.data())
@settings(deadline=None, max_examples=200)
def test_takes_the_highest_and_the_first_of_equals(values: list[int], data: st.DataObject) -> None:
    n = len(values)
    protected = data.draw(st.integers(0, min(5, n)))
    k = data.draw(st.integers(protected, n))
    ranked = sorted(range(protected, n), key=lambda i: (-values[i], i))[: k - protected]
    expected = list(range(protected)) + sorted(ranked)
    scores = torch.tensor([values, values[::-1]], dtype=torch.float32)
    assert ops.select_top(scores, k, protected)[0].tolist() == expected
    assert torch.equal(sort_free_select(scores, k, protected).long(), sort_select(scores, k, protected))


def test_refuses_fewer_than_protected() -> None:
    with pytest.raises(ValueError, match="protected=3, k=2, tokens=8"):
        ops.select_top(torch.zeros(1, 8), 2, 3)
