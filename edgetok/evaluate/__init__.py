"""Task accuracy of a dense and an optimised model on the same samples."""

from edgetok.evaluate.accuracy import Accuracy, evaluate
from edgetok.evaluate.dataset import Dataset, load_dataset

__all__ = ["Accuracy", "Dataset", "evaluate", "load_dataset"]
