"""The conformance kit for PRECISION plugins: subclass, state an instance, run pytest."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from edgetok.errors import TargetRefuses
from edgetok.precision import Precision
from edgetok.registry import installed
from edgetok.requirements import has_device, missing
from edgetok.session.precision import choose
from edgetok.testing import zoo
from edgetok.testing.declaration import DeclarationChecks
from edgetok.testing.delivery import precise_options
from edgetok.testing.reductions import Merge
from edgetok.testing.trial import Trial, run, subject

if TYPE_CHECKING:
    from edgetok.graph import Program
    from edgetok.plugin import PrecisionPlugin
    from edgetok.session.precision import Chosen
    from edgetok.target import Target


class PrecisionConformance(DeclarationChecks):
    """Every promise of a PRECISION plugin, checked, on a small ViT and a padded text encoder.

    Attributes:
        plugin: an instance.
        snr_db: the least signal-to-noise ratio of a quantised file to its program, in dB, on random weights.
    """

    plugin: PrecisionPlugin
    snr_db: float

    @pytest.mark.parametrize("model", [zoo.transformer_encoder, zoo.bert], ids=["encoder", "bert-padded"])
    def test_formats_name_weights_that_fit(self, model: zoo.Factory) -> None:
        """Every format names a weight of the program; groups divide its inputs; the program is left alone."""
        program = merged(model)
        before = set(program.exported.state_dict)
        found = self.plugin.formats(program)
        assert found, "nothing is declared"
        for name, form in found.items():
            weight = program.exported.state_dict[name]
            assert weight.dim() >= 2, f"{name} is no matrix"
            assert form.granularity != "group" or weight.shape[1] % form.group == 0
        assert set(program.exported.state_dict) == before

    def test_formats_need_no_weights(self) -> None:
        """Formats are declared on shapes alone: the same with weights of zero."""
        program = merged(zoo.transformer_encoder)
        blank = {name: torch.zeros_like(value) for name, value in program.exported.state_dict.items()}
        assert self.plugin.formats(program.with_state(blank)) == self.plugin.formats(program)

    def test_targets_get_a_scheme_they_run_or_say_no(self) -> None:
        """On every target, the scheme is one that both sides list; where there is none, the refusal names both."""
        for found in installed().targets.values():
            common = set(self.plugin.schemes()) & set(found.value.precisions)
            if common:
                chosen = choose([self.plugin], found.value)
                assert chosen is not None
                assert chosen.scheme in common
            else:
                with pytest.raises(TargetRefuses) as refused:
                    choose([self.plugin], found.value)
                assert all(scheme in refused.value.why for scheme in self.plugin.schemes())

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test per installed exporter for the check that asks for one."""
        if "exporter" in metafunc.fixturenames:
            metafunc.parametrize("exporter", sorted(installed().exporters))

    def test_files_are_smaller_and_near(self, exporter: str) -> None:
        """On a target of the exporter that runs here: a smaller file that computes nearly the same, and not exactly.

        The model is dense: where tokens merge, noise makes other choices, which only the parity gate tells apart.
        """
        target = _runnable().get(exporter)
        if target is None or (chosen := _chosen(self.plugin, target)) is None:
            pytest.skip(f"no target of the exporter {exporter!r} runs a scheme of this plugin here")
        self._check_file(target, chosen)

    def _check_file(self, target: Target, chosen: Chosen) -> None:
        program = subject(zoo.transformer_encoder).dense
        sample = {name: np.asarray(tensor[:1]) for name, tensor in program.example.items()}
        precision = Precision(chosen.scheme, chosen.plugin.formats(program), (sample,))
        half = chosen.scheme == "fp16"
        plain = _plain_size(target.name, precise=not half)
        size, found = _run(replace(program, precision=precision), target, sample, precise=not half)
        assert size < plain or (half and target.dtypes[0] == "fp16"), f"{target.name}: {size} bytes, {plain} without"
        want = run(program, {name: torch.from_numpy(array) for name, array in sample.items()})
        for spec, reference in zip(program.outputs, want, strict=True):
            noise = found[spec.name] - reference.numpy()
            snr = 10 * np.log10((reference.numpy() ** 2).sum() / max((noise**2).sum(), 1e-30))
            assert self.snr_db <= snr < 120, f"{target.name}: output {spec.name} is at {snr:.1f} dB"


@cache
def _plain_size(target: str, *, precise: bool) -> int:
    """Bytes of the files of the dense model as it is."""
    program = subject(zoo.transformer_encoder).dense
    sample = {name: np.asarray(tensor[:1]) for name, tensor in program.example.items()}
    return _run(program, installed().target(target), sample, precise=precise)[0]


@cache
def merged(model: zoo.Factory) -> Program:
    """A model with tokens merged: quantisation must go with it."""
    return Trial(Merge(), subject(model)).optimised


def _chosen(plugin: PrecisionPlugin, target: Target) -> Chosen | None:
    try:
        return choose([plugin], target)
    except TargetRefuses:
        return None


@cache
def _runnable() -> dict[str, Target]:
    """One target per exporter, by its name, that runs or simulates its files here."""
    found: dict[str, Target] = {}
    for held in sorted(installed().targets.values(), key=lambda held: held.value.proof != "run"):
        target = held.value
        here = target.proof in ("run", "simulated") and not missing(target.requires) and has_device(target)
        if here and target.precisions and target.exporter in installed().exporters:
            found.setdefault(target.exporter, target)
    return found


def _run(
    program: Program, target: Target, sample: dict[str, np.ndarray], *, precise: bool
) -> tuple[int, dict[str, np.ndarray]]:
    """Size of the files in bytes, and what they compute; ``precise`` computes in fp32 what is not quantised."""
    exporter = installed().exporter(target.exporter)
    with tempfile.TemporaryDirectory(prefix="edgetok-kit-") as folder:
        exported = exporter.export(
            program, target, Path(folder), options=precise_options(exporter, target) if precise else None
        )
        size = sum(path.stat().st_size for path in exported.files)
        return size, exporter.load(exported.entry, threads=1)(sample)
