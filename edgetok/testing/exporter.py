"""The conformance kit for exporters: state a name and a target, run pytest."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from edgetok.errors import BadOption
from edgetok.exporter import Exporter, Runner
from edgetok.options import build
from edgetok.plugin_checks import check_exporter_class
from edgetok.registry import installed
from edgetok.requirements import has_device, missing
from edgetok.testing import zoo
from edgetok.testing.absence import run_without
from edgetok.testing.declaration import check_light, undocumented
from edgetok.testing.delivery import SAME, precise_options
from edgetok.testing.reductions import Merge
from edgetok.testing.trial import Trial, difference, run, subject
from edgetok.testing.written import Written, written

if TYPE_CHECKING:
    from pydantic import BaseModel

    from edgetok.exporter import Exported
    from edgetok.graph import Program
    from edgetok.target import Target

_ASK = """
from pathlib import Path
from edgetok.errors import MissingExtra
from torch import nn, ones
from edgetok.graph import capture, rewrite
from edgetok.registry import installed
from edgetok.testing.zoo import component
program = rewrite(capture(component("line", nn.Linear(2, 2), {{"input": ones(2, 2)}})))
exporter, target = installed().exporter({exporter!r}), installed().target({target!r})
for call in (lambda: exporter.export(program, target, Path({folder!r})), lambda: exporter.load(Path("model"))):
    try:
        call()
    except MissingExtra as error:
        print(error.hint)
"""


class ExporterConformance:
    """What every exporter must do.

    Attributes:
        exporter: its name.
        target: the name of a target that uses it.
    """

    exporter: str
    target: str

    def test_class_is_complete(self) -> None:
        """Name, summary, suffix, options, ``export`` and ``load`` are there; the suffix starts with a dot."""
        check_exporter_class(type(self._exporter()))
        assert self._exporter().suffix.startswith("."), "a suffix is written with its dot"

    def test_importing_it_is_light(self) -> None:
        """Its module imports nothing heavy: every listing imports it."""
        check_light(type(self._exporter()).__module__)

    def test_options_are_documented(self) -> None:
        """Every option says what it means, and has a default."""
        options = self._exporter().Options
        assert not undocumented(options), f"options without a description: {undocumented(options)}"
        options()

    def test_unknown_option_is_refused(self) -> None:
        """A misspelt option is an error, never ignored."""
        with pytest.raises(BadOption):
            build(self._exporter().Options, {"no_such_option": 1}, self.exporter)

    def test_files_stay_in_their_directory(self) -> None:
        """All files are where they were asked for, listed, and carry stem and suffix."""
        self._require_packages()
        dense = self._dense()
        exported, sizes = dense.exported, dense.sizes
        assert exported.entry.name == f"other{self._exporter().suffix}"
        listed = {path for path in exported.files if path.is_file()}
        assert set(sizes) == listed, "files and what is listed differ"
        assert exported.entry in exported.files
        assert all(dense.folder in path.parents and size for path, size in sizes.items())
        assert exported.seconds > 0

    def test_dense_file_computes_the_same(self) -> None:
        """A file, loaded again, has the program's inputs and outputs and gives its values, at any batch size."""
        self._require_runtime()
        runner = self._exporter().load(self._dense().exported.entry, threads=1)
        self._check_runner(runner, subject(zoo.short_encoder).dense)

    def test_program_is_left_alone(self) -> None:
        """Exporting changes nothing of the program."""
        self._require_packages()
        before, after = self._dense().before, self._dense().after
        assert after.text == before.text
        assert after.notes == before.notes, "the metadata of its nodes was changed"
        assert all(torch.equal(a, b) for a, b in zip(after.outputs, before.outputs, strict=True))

    def test_merged_check_build_computes_the_same(self) -> None:
        """So does a file of a model with padding whose tokens are merged; a node that is asked for is an output of it.

        Without what it exposes such a file is the kit for plugins' matter.
        """
        self._require_runtime()
        program = Trial(Merge(), subject(zoo.short_bert)).optimised
        node = next(n for n in program.graph.nodes if "edgetok.reduce" in str(n.target) and "mean" in n.args)
        with tempfile.TemporaryDirectory(prefix="edgetok-kit-") as folder:
            exported = self.export(program, Path(folder), expose=[node.name])
            runner = self._exporter().load(exported.entry, threads=1)
            (name,) = exported.exposed[node.name]
            self._check_runner(runner, program, extra=[name])
            found = runner(_arrays({name: tensor[: max(self._batches())] for name, tensor in program.example.items()}))
        assert found[name].shape[1:] == tuple(node.meta["val"].shape[1:])
        assert set(found) == {*(spec.name for spec in program.outputs), name}

    def test_missing_package_is_said(self, tmp_path: Path) -> None:
        """Without its packages, ``export`` and ``load`` raise ``MissingExtra`` with the pip line."""
        target = self._target()
        if set(target.requires) <= {"torch"}:
            pytest.skip("needs nothing but torch, which edgetok itself needs")
        program = _ASK.format(exporter=self.exporter, target=target.name, folder=str(tmp_path))
        done = run_without(target.requires, program, tmp_path)
        hints = done.stdout.splitlines()
        assert len(hints) == 2, f"no MissingExtra from export and load:\n{done.stdout}{done.stderr[-2000:]}"
        assert all("pip install" in hint for hint in hints), hints

    def _dense(self) -> Written:
        return written(type(self))

    def _check_runner(self, runner: Runner, program: Program, extra: Sequence[str] = ()) -> None:
        assert isinstance(runner, Runner)
        assert set(runner.input_names) == {spec.name for spec in program.inputs}
        assert tuple(runner.output_names) == (*(spec.name for spec in program.outputs), *extra)
        for batch in self._batches():
            _check_same(runner, program, {name: tensor[:batch] for name, tensor in program.example.items()})

    def _batches(self) -> tuple[int, ...]:
        fixed = getattr(self._options(), "batch", "dynamic")
        return (1, 2) if fixed == "dynamic" else (int(fixed),)

    def _exporter(self) -> Exporter:
        return installed().exporter(self.exporter)

    def _target(self) -> Target:
        return installed().target(self.target)

    def _require_packages(self) -> None:
        if lacking := missing(self._target().requires):
            pytest.skip(f"not installed: {', '.join(lacking)}")
        if not has_device(self._target()):
            pytest.skip(f"needs a {self._target().device} device, and there is none here")

    def _require_runtime(self) -> None:
        self._require_packages()
        if self._target().proof not in ("run", "simulated"):
            pytest.skip(f"nothing here executes its files: they are {self._target().proof} only")

    def _options(self) -> BaseModel:
        return precise_options(self._exporter(), self._target())

    def export(self, program: Program, folder: Path, stem: str = "model", expose: Sequence[str] = ()) -> Exported:
        """The program written by the exporter for the target, in fp32 where it has that."""
        options = self._options()
        return self._exporter().export(program, self._target(), folder, stem=stem, options=options, expose=expose)


def _arrays(inputs: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {name: np.asarray(tensor) for name, tensor in inputs.items()}


def _check_same(runner: Runner, program: Program, inputs: Mapping[str, torch.Tensor]) -> None:
    found = runner(_arrays(inputs))
    for spec, want in zip(program.outputs, run(program, inputs), strict=True):
        worst = difference(torch.as_tensor(found[spec.name]), want)
        assert worst <= SAME, f"output {spec.name} differs by {worst:.2g} of its largest value"
