"""Sections on whether the model still does its job: accuracy and parity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgetok.report.charts import drop_chart
from edgetok.report.frame import chart, how, section, table
from edgetok.report.markup import Child, Markup, tag
from edgetok.report.wording import NONE, SPACE, count, interval, number, points

if TYPE_CHECKING:
    from edgetok.report.evidence import OutputParity, Perplexity
    from edgetok.report.schema import Report


def accuracy(report: Report) -> Markup:
    """The paired accuracy drop with its interval."""
    found = report.accuracy
    if found.drop is None:
        return section("Accuracy", tag("p", "Not evaluated in this run."), how(found))
    rows: list[tuple[Child, Child]] = [
        *_perplexity(found.perplexity),
        (f"{found.metric}, dense", f"{points(found.dense)} %"),
        (f"{found.metric}, optimised", f"{points(found.optimized)} %"),
        ("drop", f"{points(found.drop)} points"),
        ("95 % interval of the drop", f"{interval(*found.ci95)} points" if found.ci95 else NONE),
        ("same top-1 as dense", f"{points(found.top1_agreement)} %" if found.top1_agreement is not None else NONE),
        ("mean KL divergence from dense", f"{number(found.kl_mean)} nats" if found.kl_mean is not None else NONE),
        ("samples, the same for both", f"{found.n:,}" if found.n else NONE),
    ]
    method = tag("p", f"Interval: {found.method}.", class_="quiet") if found.method else None
    return section(
        "Accuracy",
        chart(lambda w: drop_chart(found, w)),
        table((), rows, "facts"),
        method,
        tag("p", f"Data: {found.data}", class_="quiet") if found.data else None,
        how(found),
    )


def _perplexity(found: Perplexity | None) -> list[tuple[Child, Child]]:
    if found is None:
        return []
    low_high = f" (95 %: {found.ci95[0]:.3f} to {found.ci95[1]:.3f})" if found.ci95 else ""
    return [
        ("perplexity, dense", number(found.dense, 4)),
        ("perplexity, optimised", number(found.optimized, 4)),
        ("dense / optimised", f"{found.ratio:.3f}{low_high}"),
        ("tokens", f"{found.tokens:,} in {count(found.windows, 'window')}"),
    ]


def parity(report: Report) -> Markup:
    """Whether the file computes what the rewritten model computes."""
    found = report.parity
    if not found.executed:
        return section("Parity", tag("p", _failed("Not proven."), " The file was not executed."), how(found))
    verdict = tag("strong", "Passed", class_="good-text") if found.passed else _failed("FAILED")
    where = tag("p", "First diverging module: ", tag("code", found.first_diverging_module), class_="fail-text")
    rows = [
        (tag("code", o.name), _difference(o), _noise(o), "passed" if o.passed else _failed("failed"))
        for o in found.outputs
    ]
    subject = f": the exported file against the rewritten model, {found.n:,} {found.inputs} inputs, {found.dtype}."
    return section(
        "Parity",
        tag("p", verdict, subject),
        where if found.first_diverging_module else None,
        table(("output", "largest difference", "signal to noise", ""), rows) if rows else None,
        _decisions(report),
        how(found),
    )


def _failed(text: str) -> Markup:
    return tag("strong", text, class_="fail-text")


def _difference(output: OutputParity) -> str:
    found, dense = output.rewritten, output.dense
    beside = f" (dense {number(dense.max_abs, 2)})" if dense is not None else ""
    odd = f", {found.mismatched:,} entries cannot be compared" if found.mismatched else ""
    return f"{number(found.max_abs, 2)}{beside}{odd}"


def _noise(output: OutputParity) -> str:
    found = output.rewritten.snr_db
    measured = NONE if found is None else "exact" if found >= 400 else f"{found:.0f}{SPACE}dB"
    return f"{measured} (at least {output.bound.min_snr_db:.0f})"


def _decisions(report: Report) -> list[Child]:
    found, task = report.parity.decisions, report.parity.task
    rows: list[tuple[Child, Child]] = []
    if found is not None:
        places = f"{count(found.samples, 'sample')} at {count(len(found.sites), 'site')}"
        gap = f"{number(found.worst_gap, 2)} (a near-tie up to {number(found.near_tie, 2)})"
        rows += [
            ("decide alike", f"{100 * found.same_share:.2f} % of {places}"),
            ("worst decision misses the best by", gap),
            ("differences are near-ties", "yes" if found.passed else _failed("no")),
        ]
    if task is not None:
        rows.append(("same top-1 as torch", f"{100 * task.top1:.2f} % of {count(task.n, 'sample')}"))
    return [tag("h3", "Decisions of the runtime"), table((), rows, "facts")] if rows else []
