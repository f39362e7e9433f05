"""Bundles after delivery: verify one, measure one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from edgetok.bundle import Bundle, read_bundle
from edgetok.errors import BadTarget, BundleNotFound, ParityFailed, RuntimeFailed, UnknownTarget
from edgetok.session.interface import is_executable

if TYPE_CHECKING:
    from edgetok.exporter import Exporter
    from edgetok.progress import Progress
    from edgetok.session.latency import BundleCost
    from edgetok.target import Target


class OutputCheck(BaseModel):
    """One output on the recorded vectors: its largest difference, and what it may be."""

    model_config = ConfigDict(frozen=True)

    name: str
    max_abs: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the difference is within bounds; a difference that is no number is not."""
        return self.max_abs <= self.tolerance


class BundleCheck(BaseModel):
    """What ``verify`` found: every hash is right, and the file gives the recorded outputs here."""

    model_config = ConfigDict(frozen=True)

    bundle: Path
    files: int
    samples: int
    outputs: tuple[OutputCheck, ...]
    parity_when_made: bool | None
    how: str


def verify_bundle(path: Path, *, progress: Progress | None = None) -> BundleCheck:
    """Check every hash of a bundle, then run its file on the recorded vectors.

    Raises:
        BundleNotFound: it is no bundle, or a file is missing or changed.
        UnknownTarget, BadTarget: its target is not installed, or the target's own file is gone or another one.
        MissingExtra, RuntimeFailed: its runtime is not here, or refuses the file.
        ParityFailed: an output is out of bounds.
    """
    from edgetok.progress import Silent

    shown = progress or Silent()
    with shown.stage("hashes"):
        bundle = read_bundle(path)
    vectors = bundle.manifest.vectors
    if vectors is None:
        raise BundleNotFound(f"{path} holds no parity vectors.", why="its manifest names none")
    with shown.stage("run"):
        checks = _compare(bundle)
    failing = [c for c in checks if not c.passed]
    if failing:
        raise ParityFailed(
            f"{path} does not give its recorded outputs here.",
            why="; ".join(f"{c.name} is off by {c.max_abs:.3g}, allowed {c.tolerance:.3g}" for c in failing),
            hint="This machine's runtime computes something else; compare versions with the manifest.",
        )
    return BundleCheck(
        bundle=path,
        files=len(bundle.manifest.files),
        samples=vectors.samples,
        outputs=checks,
        parity_when_made=bundle.manifest.parity.passed if bundle.manifest.parity else None,
        how=f"sha256 of every file; {vectors.samples} recorded samples, {_proof(bundle)}",
    )


def _proof(bundle: Bundle) -> str:
    """How the recorded samples were computed on this machine."""
    return target_of(bundle).verified_by or f"run by {bundle.manifest.runtime}"


def _compare(bundle: Bundle) -> tuple[OutputCheck, ...]:
    from edgetok.bench.probe import probe
    from edgetok.bundle.vectors import read_vectors

    vectors = bundle.manifest.vectors
    assert vectors is not None
    if not is_executable(target := target_of(bundle)):
        raise RuntimeFailed(
            f"{bundle.path} cannot be verified on this machine.",
            why=f"files for {target.name} are {target.proof} here, and not executed",
            hint=f"Run its inputs in {vectors.file} on the device, and compare with the outputs beside them.",
        )
    inputs, expected = read_vectors(bundle.path / vectors.file)
    exporter, entry = _exporter(bundle), bundle.entry(vectors.component)
    probe(exporter, entry, inputs)
    found = exporter.load(entry)(inputs)
    return tuple(
        OutputCheck(name=name, max_abs=_distance(found[name], want), tolerance=vectors.tolerance.get(name, 0.0))
        for name, want in expected.items()
    )


def _distance(found: np.ndarray, want: np.ndarray) -> float:
    if found.shape != want.shape:
        return float("inf")
    return float(np.max(np.abs(found.astype(np.float64) - want.astype(np.float64)), initial=0.0))


def _exporter(bundle: Bundle) -> Exporter:
    from edgetok import requirements
    from edgetok.registry import installed

    requirements.require(target_of(bundle))
    return installed().exporter(bundle.manifest.exporter)


def target_of(bundle: Bundle) -> Target:
    """The target of a bundle: an installed one, or the file that its recipe names.

    Raises:
        UnknownTarget: it is not installed, or its file is gone.
        BadTarget: its file now describes another target, or none.
    """
    from edgetok.recipe_file import load_recipe
    from edgetok.registry import installed

    name = bundle.manifest.target
    ref = load_recipe(bundle.recipe).target if bundle.recipe.is_file() else name
    if not ref.endswith(".toml"):
        return installed().target(name)
    try:
        target = installed().target(ref)
    except UnknownTarget as error:
        raise UnknownTarget(
            f"{bundle.path} was made for target {name!r}, whose file is gone.", why=f"{ref}: {error.why}", hint=_AGAIN
        ) from error
    if target.name != name:
        raise BadTarget(
            f"{bundle.path} was made for target {name!r}.", why=f"{ref} is {target.name!r} now", hint=_AGAIN
        )
    return target


_AGAIN = "Put the target's file back there, or make the bundle again: edgetok optimize -c recipe.yaml target=FILE.toml"


def bench_bundle(
    path: Path, *, changes: Mapping[str, Any] | None = None, progress: Progress | None = None
) -> BundleCost:
    """Measure a bundle's latency here, with the settings of its recipe unless ``changes`` has others.

    Raises:
        BundleNotFound: it is no bundle, or a file is missing or changed.
        UnknownTarget, BadTarget: as in ``verify_bundle``.
        BenchRefused: its files are simulated here, or not executed at all.
        MissingExtra, RuntimeFailed: its runtime is not here, or refuses the file.
    """
    from edgetok.progress import Silent
    from edgetok.recipe_file import load_recipe
    from edgetok.session.latency import measure_bundle

    shown = progress or Silent()
    with shown.stage("hashes"):
        bundle = read_bundle(path)
    settings = load_recipe(bundle.recipe).bench.model_copy(update=dict(changes or {}))
    with shown.stage("measure"):
        return measure_bundle(bundle, _exporter(bundle), settings, target_of(bundle))
