"""One small label rule per ATen op, grouped by what the ops do to axes. Importing a module registers its rules."""

from edgetok.graph.rules import attention, contraction, creation, elementwise, layout, reduction, segments, tokens

__all__ = ["attention", "contraction", "creation", "elementwise", "layout", "reduction", "segments", "tokens"]
