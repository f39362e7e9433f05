"""From a program to what a toolchain takes: plain ATen, one batch size; and what a target will make of it."""

from edgetok.lowering.forecast import Forecast, OpForecast, forecast, forecasts
from edgetok.lowering.lower import Lowered, exposed_names, lower

__all__ = ["Forecast", "Lowered", "OpForecast", "exposed_names", "forecast", "forecasts", "lower"]
