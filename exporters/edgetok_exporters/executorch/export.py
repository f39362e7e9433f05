"""The way of a program to a file: plain ATen, formats, delegate, names, disk, and the proof that it loads."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetok.bundle.writing import sha256
from edgetok.errors import EdgetokError, ExportFailed
from edgetok.exporter import Exported
from edgetok.lowering import Lowered, lower
from edgetok.provenance import shared_provenance
from edgetok.silence import quiet
from edgetok.target import Target
from edgetok_exporters.executorch import Options
from edgetok_exporters.executorch.bundle import example_case, write_bundled
from edgetok_exporters.executorch.container import DELEGATE, INPUTS, OUTPUTS
from edgetok_exporters.executorch.delegate import Delegate, delegate_of
from edgetok_exporters.executorch.measure import delegation, tables, weights
from edgetok_exporters.executorch.quantise import quantised
from edgetok_exporters.executorch.tidy import tidy
from edgetok_exporters.executorch.trial import check_kernels, try_file
from edgetok_exporters.executorch.twin import make_twin

if TYPE_CHECKING:
    from executorch.exir import EdgeProgramManager

    from edgetok.graph.program import Program


def export(
    program: Program, target: Target, directory: Path, *, stem: str, options: Options, expose: Sequence[str] = ()
) -> Exported:
    """Write a program for ExecuTorch; see :meth:`edgetok_exporters.executorch.ExecutorchExporter.export`."""
    started = time.perf_counter()
    if Path(stem).name != stem or stem in ("", ".", ".."):
        raise ExportFailed(f"{stem!r} is not a file name", why="it would leave the output directory", hint="")
    delegate = delegate_of(target, options)
    lowered = lower(program, target, batch=options.batch, expose=expose, decompose=delegate.table)
    lowered = replace(lowered, exported=tidy(lowered.exported))
    lowered = quantised(lowered, program, target, delegate)
    exposed = output_names(lowered)
    outputs = [spec.name for spec in program.outputs] + [name for group in exposed.values() for name in group]
    names = {INPUTS: list(lowered.example), OUTPUTS: outputs, DELEGATE: [target.delegate]}
    case = example_case(lowered) if options.bundled else None
    known = tables(program, lowered.exported)
    edge = to_edge(program, lowered, target, delegate, names)
    entry = directory / f"{stem}.pte"
    with failing(program, target):
        twin = make_twin(edge, names) if delegate.compile else None
        facts = delegate.compile(edge) if delegate.compile and not expose else {}
        found = replace(delegation(edge, target.delegate), facts=facts)
        made = edge.to_executorch()
        entry.write_bytes(made.buffer)
        stored = None if known is None else weights(made, edge, known)
    if twin:
        check_kernels(made, target.name)
        twin.write(entry, sha256(entry))
    if delegate.runs_here:
        try_file(entry, target.name)
    files = [entry, *([write_bundled(made, case, entry)] if case else [])]
    return Exported(entry, tuple(files), time.perf_counter() - started, exposed, found, stored)


def output_names(lowered: Lowered) -> dict[str, tuple[str, ...]]:
    """Each exposed node's outputs by name: the node's, numbered where it makes several tensors."""
    return {
        node: (node,) if count == 1 else tuple(f"{node}.{i}" for i in range(count))
        for node, count in lowered.exposed.items()
    }


def to_edge(
    program: Program, lowered: Lowered, target: Target, delegate: Delegate, names: Mapping[str, list[str]]
) -> EdgeProgramManager:
    """The program partitioned for the delegate.

    Raises:
        ExportFailed: a pass of the toolchain fails.
    """
    with failing(program, target):
        from executorch.exir import to_edge_transform_and_lower

        return to_edge_transform_and_lower(
            lowered.exported,
            partitioner=delegate.partitioners(),
            constant_methods={key: json.dumps(value) for key, value in names.items()},
        )


@contextmanager
def failing(program: Program, target: Target) -> Iterator[None]:
    """Whatever the toolchain raises, as an error for people; its warnings and logs are kept away from them.

    Raises:
        ExportFailed: in place of any other exception.
    """
    try:
        with quiet(), shared_provenance():
            yield
    except EdgetokError:
        raise
    except Exception as error:
        raise ExportFailed(
            f"ExecuTorch cannot lower {program.name!r} for {target.name}.",
            why=f"{type(error).__name__}: {_last_line(error)}",
            hint="An operation outside every kernel can be avoided by the target's realisations: match = 'sort-free', "
            "reduce = 'one-hot'.",
        ) from error


def _last_line(error: Any) -> str:
    return str(error).strip()[:400]
