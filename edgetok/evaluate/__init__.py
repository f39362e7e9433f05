"""Task accuracy of a dense and an optimised model on the same samples."""

from edgetok.evaluate.accuracy import Accuracy, evaluate
from edgetok.evaluate.dataset import Dataset, load_dataset
from edgetok.evaluate.next_token import Perplexity
from edgetok.evaluate.tokens import TokenWindows

__all__ = ["Accuracy", "Dataset", "Perplexity", "TokenWindows", "evaluate", "load_dataset"]
