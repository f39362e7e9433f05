"""edgetok: make a PyTorch model fit the device it will run on, and prove that it still computes what it should."""

from __future__ import annotations

from edgetok.plugin import API_VERSION

__version__ = "0.1.0"

__all__ = ["API_VERSION", "__version__"]
