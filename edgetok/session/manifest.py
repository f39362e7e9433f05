"""The manifest of a bundle: what an app needs, from what the run found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgetok.bundle import ComponentEntry, Manifest, ParitySummary, TensorEntry, Vectors, list_files, write_manifest
from edgetok.bundle.manifest import FileRole, PluginEntry
from edgetok.session.interface import delivered
from edgetok.session.versions import versions

if TYPE_CHECKING:
    from edgetok.graph import TensorSpec
    from edgetok.session.prepare import Prepared
    from edgetok.session.variants import Variants
    from edgetok.verify import Parity


def write_files_manifest(stage: Path, prepared: Prepared, variants: Variants, parity: Parity, vectors: Vectors) -> None:
    """Hash every file in ``stage`` and write ``manifest.json``."""
    exported, program, tools = variants.optimised.exported, variants.optimised.program, prepared.tools
    roles: dict[str, FileRole] = {p.relative_to(stage).as_posix(): "weights" for p in exported.files}
    roles |= {exported.entry.relative_to(stage).as_posix(): "model", vectors.file: "vectors"}
    manifest = Manifest(
        model=prepared.model.name,
        source=prepared.model.source,
        licence=prepared.model.licence,
        target=tools.target.name,
        exporter=tools.exporter.name,
        runtime=tools.target.runtime,
        plugins=tuple(PluginEntry(name=p.name, options=p.options()) for p in tools.plugins),
        components=(
            ComponentEntry(
                name=program.name,
                role=prepared.component.role,
                file=exported.entry.relative_to(stage).as_posix(),
                inputs=tuple(_tensor(s) for s in delivered(prepared, program.inputs)),
                outputs=tuple(_tensor(s) for s in delivered(prepared, program.outputs)),
                states=dict(getattr(tools.options, "states", ())),
            ),
        ),
        preprocessing=prepared.recipe.eval.preprocessing or prepared.model.preprocessing,
        labels=prepared.model.labels,
        vectors=vectors,
        parity=ParitySummary(passed=parity.passed, max_abs=parity.max_abs, how=parity.how),
        plan_digest=prepared.plan.digest,
        versions=versions(tools.target),
        files=list_files(stage, roles),
    )
    write_manifest(stage, manifest)


def _tensor(spec: TensorSpec) -> TensorEntry:
    return TensorEntry(name=spec.name, dtype=spec.dtype, shape=spec.shape)
