"""Where models come from: one file per kind of source, all giving an :class:`edgetok.model.Model`."""

from edgetok.sources.load import load_model
from edgetok.sources.memory import from_module

__all__ = ["from_module", "load_model"]
