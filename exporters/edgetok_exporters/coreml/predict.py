"""Running a package in Core ML itself, on macOS."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgetok.errors import RuntimeFailed
from edgetok.exporter import check_names
from edgetok.verify.mil.package import open_package
from edgetok.verify.mil.states import next_of
from edgetok_exporters.coreml.convert import toolchain
from edgetok_exporters.coreml.plan import placements


class PredictRunner:
    """A package loaded by Core ML on all compute units. Calling it maps named arrays to named arrays.

    A state is given and returned as the input and the output that it was made of; where it is not given, it is what the
    last call left.

    Raises:
        RuntimeFailed: the package is damaged, or Core ML refuses it.
    """

    def __init__(self, entry: Path) -> None:
        description = open_package(entry).spec.description
        features = next(iter(description.functions), description)
        self.entry, self.function = entry, description.defaultFunctionName or "main"
        self.states = next_of(open_package(entry), tuple(item.name for item in features.state))
        self.input_names = (*(item.name for item in features.input), *self.states)
        self.output_names = (*(item.name for item in features.output), *self.states.values())
        self.pictures = {item.name for item in features.input if item.type.WhichOneof("Type") == "imageType"}
        try:
            self.model = toolchain().models.MLModel(str(entry))
            self.kept: Any = self.model.make_state() if self.states else None
        except Exception as error:
            raise _failure(f"Core ML cannot load {entry.name}", error) from error

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run once.

        Raises:
            RuntimeFailed: names or shapes do not fit, or Core ML fails.
        """
        left_out = [name for name in self.states if name not in inputs]
        check_names(self.entry.name, [name for name in self.input_names if name not in left_out], inputs)
        given = {name: self._given(name, value) for name, value in inputs.items() if name not in self.states}
        try:
            for name in self.states.keys() & inputs.keys():
                self.kept.write_state(name, np.asarray(inputs[name], np.float32))
            found = self.model.predict(given, **({"state": self.kept} if self.states else {}))
            found |= {out: self.kept.read_state(name) for name, out in self.states.items()}
            return {name: np.asarray(found[name]) for name in self.output_names}
        except Exception as error:
            raise _failure(f"Core ML cannot run {self.entry.name}", error) from error

    def _given(self, name: str, value: np.ndarray) -> Any:
        if name not in self.pictures:
            return value.astype(np.int32) if value.dtype.kind in "iu" else value
        raise RuntimeFailed(
            f"{self.entry.name} takes a picture.",
            why=f"input {name!r} is an image, and arrays were given",
            hint="Pass pictures to the MLModel directly, or verify the package without exporter.image.",
        )

    def placed(self) -> dict[str, int]:
        """How many operations Core ML's compute plan puts on each device: neural-engine, gpu, cpu.

        Raises:
            RuntimeFailed: Core ML gives none.
        """
        try:
            return dict(Counter(place.device for place in placements(self.entry, self.function)))
        except Exception as error:
            raise _failure(f"Core ML has no compute plan of {self.entry.name}", error) from error


def _failure(what: str, error: Exception) -> RuntimeFailed:
    return RuntimeFailed(
        what,
        why=f"{type(error).__name__}: {str(error).strip()[:500]}",
        hint="check the inputs' shapes and dtypes, and that this macOS is as new as the package's target",
    )
