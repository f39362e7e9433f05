"""What the commands do, as functions: optimize, inspect, verify and bench."""

from edgetok.session.check import bench_bundle, verify_bundle
from edgetok.session.inspection import Inspection, inspect
from edgetok.session.optimise import optimize
from edgetok.session.result import Result

__all__ = ["Inspection", "Result", "bench_bundle", "inspect", "optimize", "verify_bundle"]
