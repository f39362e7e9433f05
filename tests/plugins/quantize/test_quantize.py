import pytest

from edgetok_plugins.quantize import Quantize


@pytest.mark.parametrize(
    ("options", "schemes"),
    [
        ({}, ("int8-weights", "int8-dynamic", "int8-static")),
        ({"activations": "static"}, ("int8-static",)),
        ({"weights": "int4"}, ("int4-weights", "int4-dynamic")),
        ({"weights": "int4", "activations": "float"}, ("int4-weights",)),
        ({"weights": "fp16"}, ("fp16",)),
    ],
)
def test_schemes(options, schemes):
    assert Quantize(**options).schemes() == schemes


def test_only_static_ranges_are_calibrated():
    plugin = Quantize(samples=7)
    assert [plugin.calibration_samples(s) for s in ("int8-dynamic", "int8-static", "int4-weights")] == [0, 7, 0]
