"""An interpreter for Core ML's ML programs (MIL): a package is read back from disk and evaluated op by op in torch.

It executes what was delivered on machines without Core ML. Arithmetic is fp32, rounded after every operation to the
dtype the program declares; an accelerator accumulates otherwise, so this is a check of the file, not of a device.
"""

from edgetok.verify.mil.package import Package, open_package
from edgetok.verify.mil.registry import known_ops
from edgetok.verify.mil.runner import MilRunner

__all__ = ["MilRunner", "Package", "known_ops", "open_package"]
