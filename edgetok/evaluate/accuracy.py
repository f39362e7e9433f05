"""Dense and optimised on the same samples: accuracies, their paired difference, and how far predictions moved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from edgetok.errors import DatasetNotFound, RuntimeFailed, UnsupportedModel
from edgetok.evaluate.interval import METHOD, paired_interval
from edgetok.progress import Silent

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from edgetok.evaluate.dataset import Dataset
    from edgetok.exporter import Runner
    from edgetok.progress import Progress


class Accuracy(BaseModel):
    """Task accuracy of two models on the same ``n`` samples.

    ``dense``, ``optimized`` and ``top1_agreement`` are percentages; ``drop`` is dense - optimised in points (positive
    is a loss) and ``ci95`` its paired 95 % interval by ``method``; ``kl_mean`` is the mean of KL(dense || optimised)
    over samples in nats.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n: int
    dense: float
    optimized: float
    drop: float
    ci95: tuple[float, float]
    kl_mean: float
    top1_agreement: float
    method: str = METHOD
    metric: str = "top-1"


@dataclass
class _Counts:
    n: int = 0
    both: int = 0
    only_dense: int = 0
    only_optimized: int = 0
    agree: int = 0
    kl: float = 0.0


def evaluate(
    dense: Runner, optimized: Runner, dataset: Dataset, *, batch: int = 16, progress: Progress | None = None
) -> Accuracy:
    """Run both models over the dataset, batch by batch, on the very same inputs.

    The last batch is filled up by repeating its last sample (uncounted), so that models of a fixed batch size can run.

    Args:
        dense: the baseline.
        optimized: the model compared with it.
        dataset: samples and labels.
        batch: samples per run; the models' own where their batch size is fixed.
        progress: told of every sample.

    Raises:
        DatasetNotFound: the dataset is empty, or a label is no class of the model.
        UnsupportedModel: a model gives no class scores.
        RuntimeFailed: a model's scores are not finite.
    """
    progress = progress or Silent()
    counts = _Counts()
    with progress.stage("evaluate", total=len(dataset)):
        for inputs, labels in dataset.batches(batch):
            full = {name: _filled(array, batch) for name, array in inputs.items()}
            first, second = (_scores(runner, full, len(labels), who) for runner, who in _named(dense, optimized))
            _count(counts, first, second, labels)
            progress.advance(len(labels))
    if not counts.n:
        raise DatasetNotFound("There is nothing to evaluate on.", why="The dataset has no samples.")
    return _accuracy(counts)


def _named(dense: Runner, optimized: Runner) -> tuple[tuple[Runner, str], ...]:
    return (dense, "the dense model"), (optimized, "the optimised model")


def _filled(array: np.ndarray, batch: int) -> np.ndarray:
    import numpy as np

    missing = batch - len(array)
    return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) if missing > 0 else array


def _scores(runner: Runner, inputs: Mapping[str, np.ndarray], n: int, who: str) -> NDArray[np.float64]:
    import numpy as np

    outputs = runner({name: inputs[name] for name in runner.input_names if name in inputs})
    name = "logits" if "logits" in outputs else runner.output_names[0]
    scores = np.asarray(outputs[name], dtype=np.float64)
    if scores.ndim != 2:
        hint = "Evaluation compares classes; evaluate other tasks in Python."
        raise UnsupportedModel(f"Output {name!r} of {who} is no class scores.", why=f"shape {scores.shape}", hint=hint)
    if not np.isfinite(scores[:n]).all():
        raise RuntimeFailed(f"The class scores of {who} are not finite.", why=f"Output {name!r} has NaN or infinity.")
    return scores[:n]


def _count(counts: _Counts, first: NDArray[np.float64], second: NDArray[np.float64], labels: NDArray[np.int64]) -> None:
    import numpy as np

    if labels.min() < 0 or labels.max() >= first.shape[1]:
        odd = int(labels.max() if labels.max() >= first.shape[1] else labels.min())
        raise DatasetNotFound("The labels do not fit the model.", why=f"Class {odd}; there are {first.shape[1]}.")
    tops = first.argmax(1), second.argmax(1)
    right = tops[0] == labels, tops[1] == labels
    counts.n += len(labels)
    counts.both += int((right[0] & right[1]).sum())
    counts.only_dense += int((right[0] & ~right[1]).sum())
    counts.only_optimized += int((~right[0] & right[1]).sum())
    counts.agree += int((tops[0] == tops[1]).sum())
    log_p, log_q = _log_softmax(first), _log_softmax(second)
    counts.kl += float((np.exp(log_p) * (log_p - log_q)).sum())


def _log_softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    shifted = scores - scores.max(1, keepdims=True)
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return result


def _accuracy(counts: _Counts) -> Accuracy:
    low, high = paired_interval(counts.only_dense, counts.only_optimized, counts.n)
    dense = 100 * (counts.both + counts.only_dense) / counts.n
    optimized = 100 * (counts.both + counts.only_optimized) / counts.n
    return Accuracy(
        n=counts.n,
        dense=dense,
        optimized=optimized,
        drop=100 * (counts.only_dense - counts.only_optimized) / counts.n,
        ci95=(100 * low, 100 * high),
        kl_mean=counts.kl / counts.n,
        top1_agreement=100 * counts.agree / counts.n,
    )
