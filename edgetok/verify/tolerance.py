"""Tolerances per dtype, all in one table.

An output passes when its signal-to-noise ratio and its largest relative error are both within bounds: the ratio
sees a small error everywhere, the largest error sees a big one in a single entry. Each bound is the dtype's own,
tightened to what the dense model needs in the same runtime, plus a slack for the operators a rewrite adds; where the
dense model is nearer than rounding in general allows, the dtype's noise floor counts instead.

| | fp32 | why | fp16 | why |
|---|---|---|---|---|
| snr_db | 80 | a thousand roundings of 2**-24 stay above 100 dB | 40 | sound fp16 ViTs lie at 50 to 60 dB |
| rel | 1e-4 | the usual bound of ONNX exports | 2e-2 | some 40 roundings of 2**-11 |
| snr_slack_db | 12 | other summation orders at sites: up to 4x | 6 | the same, already mostly rounding: 2x |
| rel_slack | 8 | a largest error of thousands scatters more | 4 | the same |
| snr_floor_db | 110 | ViT-Tiny has 113 in onnxruntime | 60 | 2**-11 is 66 dB; ViT-Tiny has 58 |
| rel_floor | 1e-5 | ViT-Tiny has 1.5e-6 | 5e-3 | ViT-Tiny has 1e-3 |
| same_snr_db | 100 | two builds of one graph differ in fusion only | 55 | the same |
| same_rel | 1e-5 | the same | 5e-3 | the same |
| near_tie | 2e-5 | see below | 4e-3 | see below |

A choice may give away twice the error of a score; a cosine is off by at most the sum of its vectors' relative errors.
ViT-Tiny's features are off by 1e-3 in fp16 and some 1e-6 in fp32 (5e-6 leaves room for wider models): four times that.
Measured there, r = 13 and 32 pictures: the worst differing choice gave away 9e-4 in fp16; in fp32 none differed.

A quantised file (int8, int4) has no fixed noise: it depends on outliers (ViT-Tiny, all activations in int8: 10 dB
and loses little accuracy). Its rows only tell a result from noise; what binds is the control, the dense program at the
same precision, with a slack of 4 and 3 dB. Decisions follow keys that are that noisy: what a choice gives away by the
reference's scores says how noisy they are, and nothing of the choice (ViT-Tiny in XNNPACK, dynamic int8: 0.2 of score
in layer 9). So it is judged by the file's own scores, at the near-tie of fp32 or fp16, whichever the target computes
matching in, for matching is never quantised; and the keys themselves may be as noisy as the control's, slack included.
Their noise as a whole is the control's (25.0 and 25.4 dB there), their largest error 2.4 times the control's. int8
arithmetic simulated in torch does the same (26.0 and 26.4 dB, 1.7 times: a single token stands out), so it is no fault
of the runtime, and largest errors inside a file are given twice the slack.
The wide near-ties of their rows are for files without a control.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from edgetok.verify.parity import Figures


Arithmetic = Literal["fp32", "fp16", "int8", "int4"]
"""What a file computes in, by its coarsest numbers: a row of ``TOLERANCES``."""


INNER_SCATTER = 2.0
"""Inside a file, how much more the largest error of one entry may be than in an output."""


class Tolerance(BaseModel):
    """One dtype's row of the table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    snr_db: float
    rel: float
    snr_slack_db: float
    rel_slack: float
    snr_floor_db: float
    rel_floor: float
    same_snr_db: float
    same_rel: float
    near_tie: float

    def bound(self, dense: Figures | None) -> Bound:
        """The bound of an output whose dense counterpart has the figures ``dense``."""
        if dense is None:
            return Bound(min_snr_db=self.snr_db, max_rel=self.rel)
        return Bound(
            min_snr_db=max(self.snr_db, min(self.snr_floor_db, dense.snr_db - self.snr_slack_db)),
            max_rel=min(self.rel, max(self.rel_floor, dense.rel * self.rel_slack)),
        )

    def beside(self, control: Figures) -> Bound:
        """The bound of values inside a file, by the same values of the control; how noisy those are is no matter."""
        return Bound(
            min_snr_db=min(self.snr_floor_db, control.snr_db - self.snr_slack_db),
            max_rel=max(self.rel_floor, control.rel * self.rel_slack * INNER_SCATTER),
        )

    @property
    def same(self) -> Bound:
        """The bound between two builds of one program."""
        return Bound(min_snr_db=self.same_snr_db, max_rel=self.same_rel)


class Bound(BaseModel):
    """What one output must keep to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_snr_db: float
    max_rel: float

    def admits(self, figures: Figures) -> bool:
        """Whether the figures are within the bound and nothing is mismatched."""
        return figures.mismatched == 0 and figures.snr_db >= self.min_snr_db and figures.rel <= self.max_rel

    def __str__(self) -> str:
        return f"at least {self.min_snr_db:.1f} dB and at most {self.max_rel:.2g} of the peak"


TOLERANCES: dict[Arithmetic, Tolerance] = {
    "fp32": Tolerance(
        snr_db=80.0,
        rel=1e-4,
        snr_slack_db=12.0,
        rel_slack=8.0,
        snr_floor_db=110.0,
        rel_floor=1e-5,
        same_snr_db=100.0,
        same_rel=1e-5,
        near_tie=2e-5,
    ),
    "fp16": Tolerance(
        snr_db=40.0,
        rel=2e-2,
        snr_slack_db=6.0,
        rel_slack=4.0,
        snr_floor_db=60.0,
        rel_floor=5e-3,
        same_snr_db=55.0,
        same_rel=5e-3,
        near_tie=4e-3,
    ),
    "int8": Tolerance(
        snr_db=5.0,
        rel=0.5,
        snr_slack_db=4.0,
        rel_slack=2.0,
        snr_floor_db=35.0,
        rel_floor=2e-2,
        same_snr_db=25.0,
        same_rel=0.1,
        near_tie=0.1,
    ),
    "int4": Tolerance(
        snr_db=3.0,
        rel=1.0,
        snr_slack_db=3.0,
        rel_slack=2.0,
        snr_floor_db=25.0,
        rel_floor=5e-2,
        same_snr_db=25.0,
        same_rel=0.1,
        near_tie=0.25,
    ),
}


@dataclass(frozen=True)
class Rules:
    """What one file is judged by: the row of its dtype, and the near-tie of what it decides in (fp32 or fp16)."""

    row: Tolerance
    deciding: float

    def near_tie(self, *, scored: bool) -> float:
        """The most score that a decision may give away: by the file's own scores, or by the reference's."""
        return self.deciding if scored else self.row.near_tie
