"""mc-moe keeps every promise of a WEIGHTS plugin."""

from __future__ import annotations

import pytest

from edgetok.registry import installed
from edgetok.testing.weights import WeightConformance

McMoe = installed().plugins["mc-moe"].value


class TestMean(WeightConformance):
    plugin = McMoe(bits=2.5, group_size=8, widths=(1, 2, 3, 4))
    snr_db = 3.0


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"bits": 1, "widths": (2, 3)}, "below the least width"), ({"widths": (5,)}, "widths"), ({"bits": 9}, "bits")],
)
def test_options_that_cannot_be_met_are_refused(options, reason):
    with pytest.raises(ValueError, match=reason):
        McMoe(**options)
