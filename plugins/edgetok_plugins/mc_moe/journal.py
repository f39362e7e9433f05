"""Where a long job is: results per layer on disk, each complete or absent, so that a killed job goes on.

A job has a key, a hash of everything that decides its result. The directory of a job with another key is refused, not
overwritten.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from edgetok.errors import OutputExists
from edgetok_plugins.mc_moe.calibrate import Statistics

Phase = Literal["calibrate", "quantise"]


class Journal:
    """The results of one job in ``directory``.

    Attributes:
        output: where finished files of the result gather.

    Raises:
        OutputExists: another job was left there.
    """

    def __init__(self, directory: Path, key: str) -> None:
        self.directory, self.output = directory, directory / "output"
        job = directory / "job.json"
        if job.is_file() and json.loads(job.read_text(encoding="utf-8")).get("key") != key:
            raise OutputExists(
                f"{directory} holds an unfinished job of other options, another model, device or other tokens.",
                why=f"its key is not {key[:12]}",
                hint="Finish that job with what it was started with, or remove the directory.",
            )
        self.output.mkdir(parents=True, exist_ok=True)
        _write(job, json.dumps({"key": key}).encode())

    def position(self, phase: Phase) -> tuple[int, Tensor | None]:
        """The layer to go on with, and its input; ``(0, None)`` at the beginning."""
        file = self.directory / f"{phase}.safetensors"
        if not file.is_file():
            return 0, None
        found = load_file(file)
        return int(found["layer"]), found["hidden"]

    def advance(self, phase: Phase, layer: int, hidden: Tensor) -> None:
        """All before ``layer`` is done; ``hidden`` is its input."""
        tensors = {"layer": torch.tensor(layer), "hidden": hidden.cpu().contiguous()}
        save_tensors(self.directory / f"{phase}.safetensors", tensors)

    def note(self, layer: int, statistics: Statistics) -> None:
        """Keep the statistics of a layer."""
        _write(self._noted(layer), json.dumps(asdict(statistics)).encode())

    def statistics(self, layer: int) -> Statistics:
        """What was noted."""
        return _read(json.loads(self._noted(layer).read_text(encoding="utf-8")))

    def finish(self, destination: Path) -> None:
        """Put the result in its place and forget the job."""
        self.output.rename(destination)
        shutil.rmtree(self.directory)

    def _noted(self, layer: int) -> Path:
        return self.directory / f"statistics-{layer:05}.json"


def statistics_of(manifest: Mapping[str, Mapping[str, Any]]) -> dict[int, Statistics]:
    """The statistics in a manifest, by layer: the first number in the path of its experts."""
    return {int(next(filter(str.isdigit, name.split(".")))): _read(raw) for name, raw in manifest.items()}


def _read(raw: Mapping[str, Any]) -> Statistics:
    columns = {name: tuple(raw[name]) for name in ("frequency", "weight")}
    return Statistics(**dict(raw) | columns | {"loss": tuple(map(tuple, raw["loss"]))})


def save_tensors(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file that is there whole or not at all."""
    part = file.with_suffix(".part")
    save_file(dict(tensors), part)
    part.replace(file)


def save_text(file: Path, content: object) -> None:
    """Write JSON, whole or not at all; the same content gives the same bytes."""
    _write(file, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())


def key_of(settings: object, inputs: Mapping[str, Tensor], directory: Path, files: list[Path]) -> str:
    """A hash of settings, inputs, the model's config, and its files' names and sizes."""
    found = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    found.update((directory / "config.json").read_bytes())
    for file in files:
        found.update(f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}".encode())
    for name, value in sorted(inputs.items()):
        found.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        found.update(value.contiguous().cpu().numpy().tobytes())
    return found.hexdigest()


def _write(file: Path, content: bytes) -> None:
    part = file.with_suffix(".part")
    part.write_bytes(content)
    part.replace(file)
