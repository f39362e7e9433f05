"""Quantisation keeps every promise of a PRECISION plugin."""

from __future__ import annotations

import pytest

from edgetok.registry import installed
from edgetok.testing.precision import PrecisionConformance

Quantize = installed().plugins["quantize"].value


class TestInt8(PrecisionConformance):
    plugin = Quantize(weights="int8")
    snr_db = 20.0


class TestInt4(PrecisionConformance):
    plugin = Quantize(weights="int4")
    snr_db = 5.0


class TestFp16(PrecisionConformance):
    plugin = Quantize(weights="fp16")
    snr_db = 40.0


@pytest.mark.parametrize(
    "options", [{"weights": "int4", "activations": "static"}, {"weights": "fp16", "activations": "dynamic"}]
)
def test_what_no_toolchain_has_is_refused(options):
    with pytest.raises(ValueError, match=r"int4|fp16"):
        Quantize(**options)
