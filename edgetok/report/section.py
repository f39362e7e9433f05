"""What every section of a report shares: frozen, forward compatible, and never a figure without its ``how``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

if TYPE_CHECKING:
    from typing import Self


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Measured = Annotated[float | None, BeforeValidator(_finite)]
"""A measured number; None where it was not measured or is not finite (JSON knows no NaN)."""


class Part(BaseModel):
    """A frozen piece of a report. Unknown keys are ignored, so that this version reads what later ones add."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, protected_namespaces=())


class Section(Part):
    """A group of figures, and how they came about."""

    how: str = Field(min_length=1, description="How the figures of this section were measured, or why they are null.")

    @classmethod
    def from_result(cls, found: BaseModel, **more: object) -> Self:
        """The section that holds another model's figures of the same names, and ``more`` beside them."""
        return cls.model_validate(found.model_dump() | more)


def ratio_of(dense: float | None, optimized: float | None) -> float | None:
    """Dense / optimised: above 1 is better. None where either is missing or the divisor is 0."""
    if dense is None or not optimized:
        return None
    return dense / optimized


def check_ratio(section: str, ratio: float | None, dense: float | None, optimized: float | None) -> None:
    """Refuse a ratio that is not dense / optimised (a relative 1e-6 is for rounding in JSON)."""
    expected = ratio_of(dense, optimized)
    if ratio is not None and expected is not None and not math.isclose(ratio, expected, rel_tol=1e-6):
        raise ValueError(f"{section}: ratio is dense / optimized = {expected:.6g}, not {ratio:.6g}")
