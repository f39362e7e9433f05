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
from edgetok_exporters.coreml.convert import toolchain
from edgetok_exporters.coreml.plan import placements


class PredictRunner:
    """A package loaded by Core ML on all compute units. Calling it maps named arrays to named arrays.

    Raises:
        RuntimeFailed: the package is damaged, or Core ML refuses it.
    """

    def __init__(self, entry: Path) -> None:
        description = open_package(entry).spec.description
        features = next(iter(description.functions), description)
        self.entry, self.function = entry, description.defaultFunctionName or "main"
        self.input_names = tuple(item.name for item in features.input)
        self.output_names = tuple(item.name for item in features.output)
        self.pictures = {item.name for item in features.input if item.type.WhichOneof("Type") == "imageType"}
        try:
            self.model = toolchain().models.MLModel(str(entry))
        except Exception as error:
            raise _failure(f"Core ML cannot load {entry.name}", error) from error

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run once.

        Raises:
            RuntimeFailed: names or shapes do not fit, or Core ML fails.
        """
        check_names(self.entry.name, self.input_names, inputs)
        given = {name: self._given(name, value) for name, value in inputs.items()}
        try:
            found = self.model.predict(given)
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
