"""Dense and optimised on the same samples: accuracies, their paired difference, and how far predictions moved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from edgetok.errors import DatasetNotFound, RuntimeFailed, UnsupportedModel
from edgetok.evaluate import next_token
from edgetok.evaluate.interval import METHOD, paired_interval
from edgetok.evaluate.next_token import NextTokens, Perplexity
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
    over samples in nats. Of a language model the samples are windows of text, and all figures means over tokens.
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
    perplexity: Perplexity | None = None


@dataclass
class _Counts:
    n: int = 0
    both: int = 0
    only_dense: int = 0
    only_optimized: int = 0
    agree: int = 0
    kl: float = 0.0

    def add(self, first: NDArray[np.float64], second: NDArray[np.float64], labels: NDArray[np.int64]) -> None:
        """Count log-probabilities ``[n, classes]`` of both models against ``labels [n]``."""
        import numpy as np

        tops = first.argmax(1), second.argmax(1)
        right = tops[0] == labels, tops[1] == labels
        self.n += len(labels)
        self.both += int((right[0] & right[1]).sum())
        self.only_dense += int((right[0] & ~right[1]).sum())
        self.only_optimized += int((~right[0] & right[1]).sum())
        self.agree += int((tops[0] == tops[1]).sum())
        self.kl += float((np.exp(first) * (first - second)).sum())


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
    counts: _Counts | NextTokens | None = None
    with progress.stage("evaluate", total=len(dataset)):
        for inputs, labels in dataset.batches(batch):
            full = {name: _filled(array, batch) for name, array in inputs.items()}
            rank = labels.ndim + 1
            first, second = (_scores(runner, full, len(labels), who, rank) for runner, who in _named(dense, optimized))
            _check_labels(first, labels)
            if counts is None:
                counts = _Counts() if rank == 2 else NextTokens()
            counts.add(first, second, labels)
            progress.advance(len(labels))
    if counts is None:
        raise DatasetNotFound("There is nothing to evaluate on.", why="The dataset has no samples.")
    return _accuracy(counts) if isinstance(counts, _Counts) else _of_tokens(counts)


def _named(dense: Runner, optimized: Runner) -> tuple[tuple[Runner, str], ...]:
    return (dense, "the dense model"), (optimized, "the optimised model")


def _filled(array: np.ndarray, batch: int) -> np.ndarray:
    import numpy as np

    missing = batch - len(array)
    return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) if missing > 0 else array


def _scores(runner: Runner, inputs: Mapping[str, np.ndarray], n: int, who: str, rank: int) -> NDArray[np.float64]:
    """Log-probabilities ``[n, classes]``, or ``[n, length, vocabulary]`` where labels are tokens."""
    import numpy as np

    outputs = runner({name: inputs[name] for name in runner.input_names if name in inputs})
    name = "logits" if "logits" in outputs else runner.output_names[0]
    scores = np.asarray(outputs[name], dtype=np.float64)
    if scores.ndim != rank:
        what = "class scores" if rank == 2 else "scores of the next token"
        hint = "Evaluation compares classes, or tokens that follow; evaluate other tasks in Python."
        raise UnsupportedModel(f"Output {name!r} of {who} is no {what}.", why=f"shape {scores.shape}", hint=hint)
    if not np.isfinite(scores[:n]).all():
        raise RuntimeFailed(f"The class scores of {who} are not finite.", why=f"Output {name!r} has NaN or infinity.")
    return _log_softmax(scores[:n])


def _check_labels(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> None:
    classes = scores.shape[-1]
    if labels.min() < 0 or labels.max() >= classes:
        odd = int(labels.max() if labels.max() >= classes else labels.min())
        raise DatasetNotFound("The labels do not fit the model.", why=f"Class {odd}; there are {classes}.")


def _log_softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    shifted = scores - scores.max(-1, keepdims=True)
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
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


def _of_tokens(counts: NextTokens) -> Accuracy:
    dense, optimised, (low, high) = counts.accuracy()
    perplexity = counts.perplexity()
    return Accuracy(
        n=perplexity.windows,
        dense=100 * dense,
        optimized=100 * optimised,
        drop=100 * (dense - optimised),
        ci95=(100 * low, 100 * high),
        kl_mean=counts.kl / counts.tokens,
        top1_agreement=100 * counts.agree / counts.tokens,
        method=next_token.METHOD,
        metric=next_token.METRIC,
        perplexity=perplexity,
    )
