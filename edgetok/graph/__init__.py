"""Token spaces on captured graphs: capture, label, find attention sites, rewrite.

``capture`` makes a normalised ``Program`` of a component; ``find_sites`` says where tokens can be reduced and why not
elsewhere; ``rewrite`` re-traces the program with reductions applied and everything downstream repaired.
"""

from edgetok.graph.capture import capture
from edgetok.graph.program import Program, TensorSpec
from edgetok.graph.retrace import Step
from edgetok.graph.rewrite import rewrite, run_rewritten, static_batch
from edgetok.graph.site import Site, find_sites
from edgetok.graph.tokens import TokenMap

__all__ = [
    "Program",
    "Site",
    "Step",
    "TensorSpec",
    "TokenMap",
    "capture",
    "find_sites",
    "rewrite",
    "run_rewritten",
    "static_batch",
]
