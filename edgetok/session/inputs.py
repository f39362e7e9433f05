"""Inputs to compare models on: real samples where there are any, seeded ones where not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from edgetok.errors import DatasetNotFound
from edgetok.session.interface import batched

if TYPE_CHECKING:
    from edgetok.evaluate import Dataset
    from edgetok.graph import Program, TensorSpec

Arrays = dict[str, np.ndarray]


def seeded(program: Program, samples: int, seed: int) -> Arrays:
    """``samples`` generated inputs: normal noise, indices within what the example inputs use, masks with padding."""
    from edgetok.graph.normalise import understand_masks

    generator = torch.Generator().manual_seed(seed)
    padding = {mask.source for mask in understand_masks(program).values() if mask.kind == "padding"}
    rows, made = batched(program), {}
    for name, tensor in program.example.items():
        shape = [samples, *tensor.shape[1:]] if name in rows else list(tensor.shape)
        draw = _padding if program.placeholders[name] in padding else _like
        made[name] = draw(shape, tensor, generator).to(tensor.dtype).numpy()
    return made


def _like(shape: list[int], tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    if tensor.is_floating_point():
        return torch.randn(shape, generator=generator)
    low, high = (int(tensor.min()), int(tensor.max())) if tensor.numel() else (0, 0)
    return torch.randint(low, high + 1, shape, generator=generator)


def _padding(shape: list[int], tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Rows of ones followed by zeros, at least half ones; a mask as tokenizers make it."""
    length = shape[-1]
    lengths = torch.randint(max(length // 2, 1), length + 1, shape[:-1], generator=generator)
    return (torch.arange(length) < lengths.unsqueeze(-1)).long()


@dataclass(frozen=True)
class Samples:
    """Arrays by name, of which those in ``rows`` have one entry per sample along axis 0."""

    arrays: Arrays
    rows: frozenset[str]

    def __len__(self) -> int:
        return next((len(self.arrays[name]) for name in self.arrays if name in self.rows), 1)

    def filled(self, batch: int) -> Arrays:
        """The samples repeated, or cut, to ``batch`` of them."""
        times = -(-batch // len(self))
        return self._map(lambda array: np.concatenate([array] * times)[:batch])

    def batches(self, size: int) -> list[Arrays]:
        """All samples in batches of ``size``; the last is filled up with the first samples."""
        whole = Samples(self.filled(-(-len(self) // size) * size), self.rows)
        return [whole._map(lambda array, i=i: array[i : i + size]) for i in range(0, len(whole), size)]

    def _map(self, change: Any) -> Arrays:
        return {name: change(array) if name in self.rows else array for name, array in self.arrays.items()}


@dataclass(frozen=True)
class Fitted:
    """Labelled data whose batches are checked against the file's inputs, and cast to their dtypes."""

    dataset: Dataset
    inputs: Sequence[TensorSpec]

    @property
    def name(self) -> str:
        """As reports call it."""
        return self.dataset.name

    def __len__(self) -> int:
        return len(self.dataset)

    def part(self, start: int, stop: int | None = None) -> Fitted:
        """The samples from ``start`` to ``stop``."""
        return replace(self, dataset=self.dataset.part(start, stop))

    def batches(self, size: int) -> Iterator[tuple[Arrays, np.ndarray]]:
        """As ``Dataset.batches``.

        Raises:
            DatasetNotFound: an input is missing, or has another shape or kind of number.
        """
        for arrays, labels in self.dataset.batches(size):
            yield {spec.name: self._fit(spec, arrays) for spec in self.inputs}, labels

    def _fit(self, spec: TensorSpec, arrays: Mapping[str, Any]) -> np.ndarray:
        if spec.name not in arrays:
            raise self._misfit(f"there is no {spec.name!r}; it gives {', '.join(arrays) or 'nothing'}")
        found, wanted = np.asarray(arrays[spec.name]), np.dtype(spec.dtype)
        fits = [isinstance(n, str) or n == m for n, m in zip(spec.shape, found.shape, strict=False)]
        if len(spec.shape) != found.ndim or not all(fits[1:]):
            raise self._misfit(f"{spec.name!r} has shape {found.shape[1:]} per sample, wanted {spec.shape[1:]}")
        if not np.can_cast(found.dtype, wanted, "same_kind"):
            raise self._misfit(f"{spec.name!r} is {found.dtype}, wanted {wanted}")
        return found.astype(wanted, copy=False)

    def _misfit(self, why: str) -> DatasetNotFound:
        takes = ", ".join(f"{spec.name} {spec.dtype} {spec.shape[1:]}" for spec in self.inputs)
        return DatasetNotFound(
            f"The samples of {self.name} do not fit the model.", why=why, hint=f"Each sample needs: {takes}."
        )
