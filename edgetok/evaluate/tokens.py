"""Text for language models: windows of token ids in a NumPy file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgetok.errors import DatasetNotFound

if TYPE_CHECKING:
    import numpy as np

SUFFIX = ".npy"


@dataclass(frozen=True, eq=False)
class TokenWindows:
    """Windows of one length; what a window's tokens are labelled with are the tokens that follow them in it."""

    name: str
    ids: np.ndarray
    input_name: str = "input_ids"

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, start: int, stop: int | None = None) -> TokenWindows:
        """The windows from ``start`` to ``stop``."""
        return TokenWindows(self.name, self.ids[start:stop], self.input_name)

    def batches(self, size: int) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray]]:
        """``{input_name: int64 [n, length]}`` and labels int64 ``[n, length - 1]``."""
        import numpy as np

        for start in range(0, len(self), size):
            ids = np.asarray(self.ids[start : start + size], np.int64)
            yield {self.input_name: ids}, ids[:, 1:]

    @property
    def largest(self) -> int:
        """The largest id in it."""
        return int(self.ids.max())


def read_tokens(path: Path, *, name: str, input_name: str, limit: int | None = None) -> TokenWindows:
    """A ``.npy`` file of integers ``[windows, length]``.

    Raises:
        DatasetNotFound: it is malformed, holds something else, or a negative id.
    """
    import numpy as np

    try:
        ids = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DatasetNotFound(f"{path} cannot be read.", why=f"{type(error).__name__}: {error}") from error
    if not isinstance(ids, np.ndarray) or ids.ndim != 2 or ids.dtype.kind not in "iu" or min(ids.shape) < 1:
        found = f"{ids.dtype} {ids.shape}" if isinstance(ids, np.ndarray) else type(ids).__name__
        raise DatasetNotFound(f"{path} holds no windows of tokens.", why=found, hint="Give integers [windows, length].")
    ids = ids[:limit]
    if ids.shape[1] < 2 or int(ids.min()) < 0:
        why = "windows of one token" if ids.shape[1] < 2 else f"id {int(ids.min())}"
        raise DatasetNotFound(f"{path} holds nothing to predict.", why=why)
    return TokenWindows(name, ids, input_name)
