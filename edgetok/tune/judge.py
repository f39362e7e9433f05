"""How far a reduced program is from the dense one on the same samples, in torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from edgetok.errors import RuntimeFailed, UnsupportedModel

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from edgetok.graph import Program, Step
    from edgetok.session.inputs import Fitted


@dataclass(frozen=True)
class Losses:
    """Per sample: KL(dense || reduced) in nats, whether the class is that of dense, and whether each is right.

    ``dense_right`` and ``right`` are ``None`` without labels.
    """

    kl: NDArray[np.float64]
    agree: NDArray[np.bool_]
    dense_right: NDArray[np.bool_] | None
    right: NDArray[np.bool_] | None

    @property
    def drop(self) -> float | None:
        """Points of accuracy below dense."""
        if self.dense_right is None or self.right is None:
            return None
        return 100.0 * float(self.dense_right.mean() - self.right.mean())


@dataclass
class Judge:
    """Compares reduced programs with the dense one on data; the dense scores are computed once.

    The program is walked eagerly, as tracing would walk it: no export per schedule.

    Attributes:
        program: with real weights.
        data: what to compare on.
        batch: samples per walk.
        labelled: whether its labels mean anything.
    """

    program: Program
    data: Fitted
    batch: int
    labelled: bool
    _batches: list[dict[str, NDArray[np.generic]]] = field(default_factory=list, repr=False)
    _labels: NDArray[np.int64] | None = field(default=None, repr=False)
    _dense: NDArray[np.float64] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.data)

    def __call__(self, steps: Sequence[Step]) -> Losses:
        """Walk the program with ``steps`` over all samples.

        Raises:
            PluginFailed: a plugin raised.
            RuntimeFailed: scores are not finite.
            UnsupportedModel: the program gives none.
        """
        dense = self.dense()
        found = self.scores(steps) if steps else dense
        tops, other = dense.argmax(1), found.argmax(1)
        labels = self._labels if self.labelled else None
        return Losses(
            kl=divergence(dense, found),
            agree=tops == other,
            dense_right=None if labels is None else tops == labels,
            right=None if labels is None else other == labels,
        )

    @property
    def index(self) -> int:
        """Which output holds the class scores."""
        names = [spec.name for spec in self.program.outputs]
        return names.index("logits") if "logits" in names else 0

    @property
    def batches(self) -> int:
        """How many batches of samples there are."""
        self._read()
        return len(self._batches)

    def batch_of(self, at: int) -> tuple[dict[str, Tensor], Tensor]:
        """The inputs of a batch, and the dense scores of its samples."""
        import torch

        dense = self.dense()
        sizes = [len(next(iter(batch.values()))) for batch in self._batches]
        start = sum(sizes[:at])
        inputs = {name: torch.from_numpy(array) for name, array in self._batches[at].items()}
        return inputs, torch.from_numpy(dense[start : start + sizes[at]])

    def dense(self) -> NDArray[np.float64]:
        """The dense scores, ``(samples, classes)``."""
        if self._dense is None:
            self._read()
            self._dense = self.scores(())
        return self._dense

    def scores(self, steps: Sequence[Step]) -> NDArray[np.float64]:
        """Class scores of the program with ``steps``, ``(samples, classes)``."""
        import torch

        from edgetok.graph.retrace import Retrace
        from edgetok.graph.retraced import Retraced

        self._read()
        index = self.index
        module = Retraced(Retrace(self.program, steps))
        with torch.no_grad():
            parts = [
                module(**{k: torch.from_numpy(v) for k, v in batch.items()})[index].double() for batch in self._batches
            ]
        scores: NDArray[np.float64] = torch.cat(parts).numpy()
        if scores.ndim != 2:
            raise UnsupportedModel(
                f"Output {self.program.outputs[index].name!r} is no class scores, so schedules cannot be compared.",
                why=f"its shape is {scores.shape}",
                hint="Tune classifiers here; or a factory whose module returns class scores.",
            )
        if not np.isfinite(scores).all():
            raise RuntimeFailed("The class scores of a reduced program are not finite.", why=f"{len(steps)} reductions")
        return scores

    def _read(self) -> None:
        """Samples in memory, in whole batches where the program takes no others."""
        if self._batches:
            return
        from edgetok.session.interface import batched

        free = any(0 in axes for axes in self.program.dynamic.values())
        size = self.batch if free or not batched(self.program) else _captured(self.program)
        pairs = [(arrays, labels) for arrays, labels in self.data.batches(size) if free or len(labels) == size]
        self._batches = [{k: np.ascontiguousarray(v) for k, v in arrays.items()} for arrays, _ in pairs]
        self._labels = np.concatenate([labels for _, labels in pairs])


def _captured(program: Program) -> int:
    return int(next(iter(program.example.values())).shape[0])


def divergence(dense: NDArray[np.float64], found: NDArray[np.float64]) -> NDArray[np.float64]:
    """KL(softmax(dense) || softmax(found)) of every row, in nats."""
    log_p, log_q = _log_softmax(dense), _log_softmax(found)
    result: NDArray[np.float64] = (np.exp(log_p) * (log_p - log_q)).sum(1)
    return result


def _log_softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = scores - scores.max(1, keepdims=True)
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return result
