"""The parity gate: does the delivered file compute what the rewritten program computes?

Two figures. *Arithmetic*: the runtime against the program in torch eager, with the runtime's own decisions replayed
there, so that a token that goes elsewhere because of rounding does not hide or fake an error. *Decisions*: every
choice the reference would have made otherwise must be a near-tie at the dtype of the file.
"""

from edgetok.verify.gate import Delivery, require, verify
from edgetok.verify.parity import Decisions, Figures, OutputParity, Parity, Site, TaskAgreement
from edgetok.verify.tolerance import TOLERANCES, Bound, Tolerance

__all__ = [
    "TOLERANCES",
    "Bound",
    "Decisions",
    "Delivery",
    "Figures",
    "OutputParity",
    "Parity",
    "Site",
    "TaskAgreement",
    "Tolerance",
    "require",
    "verify",
]
