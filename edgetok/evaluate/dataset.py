"""Labelled samples: a folder per class, a table of files and class indices, text as tokens, or a Python callable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edgetok.errors import DatasetNotFound
from edgetok.evaluate import tokens
from edgetok.evaluate.images import SUFFIXES, open_image

if TYPE_CHECKING:
    import numpy as np

    from edgetok.model import Preprocessing

    Sample = tuple[Mapping[str, Any], int]

MAX_TABLE = 256 << 20


class Dataset(Protocol):
    """Labelled samples that can be read more than once, always in the same order."""

    @property
    def name(self) -> str:
        """Where the samples came from, as the user wrote it."""
        ...

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def batches(self, size: int) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray]]:
        """Inputs by name, each ``[n, ...]``, and labels int64 ``[n]``; n = ``size`` but for the last batch."""
        ...

    def part(self, start: int, stop: int | None = None) -> Dataset:
        """The samples from ``start`` to ``stop``."""
        ...


@dataclass(frozen=True)
class ImageFiles:
    """Pictures on disk, decoded and preprocessed batch by batch."""

    name: str
    files: tuple[Path, ...]
    labels: tuple[int, ...]
    preprocessing: Preprocessing
    input_name: str = "pixel_values"

    def __len__(self) -> int:
        return len(self.files)

    def part(self, start: int, stop: int | None = None) -> ImageFiles:
        """The pictures from ``start`` to ``stop``."""
        return replace(self, files=self.files[start:stop], labels=self.labels[start:stop])

    def batches(self, size: int) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray]]:
        """``{input_name: float32 [n, C, H, W]}`` and labels int64 ``[n]``."""
        import numpy as np

        from edgetok.evaluate.preprocess import apply

        for start in range(0, len(self.files), size):
            pictures = [apply(self.preprocessing, open_image(path)) for path in self.files[start : start + size]]
            if len({picture.shape for picture in pictures}) > 1:
                raise DatasetNotFound(
                    f"The pictures of {self.name} have different sizes after preprocessing.",
                    why=f"{pictures[0].shape} and others; the preprocessing has neither size nor crop.",
                    hint="Give a preprocessing with a size.",
                )
            yield {self.input_name: np.stack(pictures)}, np.asarray(self.labels[start : start + size], np.int64)


@dataclass(frozen=True)
class Samples:
    """Samples in memory: inputs without a batch axis, and a class index each."""

    name: str
    samples: tuple[Sample, ...]

    def __len__(self) -> int:
        return len(self.samples)

    def part(self, start: int, stop: int | None = None) -> Samples:
        """The samples from ``start`` to ``stop``."""
        return replace(self, samples=self.samples[start:stop])

    def batches(self, size: int) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray]]:
        """Samples stacked along a new first axis."""
        import numpy as np

        for start in range(0, len(self.samples), size):
            part = self.samples[start : start + size]
            try:
                inputs = {key: np.stack([np.asarray(sample[key]) for sample, _ in part]) for key in part[0][0]}
                labels = np.asarray([int(label) for _, label in part], np.int64)
            except (KeyError, TypeError, ValueError) as error:
                why = f"{type(error).__name__}: {error}"
                raise DatasetNotFound(f"The samples of {self.name} do not stack.", why=why) from error
            yield inputs, labels


def load_dataset(
    spec: str | Path | Callable[[], Iterable[Sample]] | Iterable[Sample],
    preprocessing: Preprocessing | None,
    *,
    classes: Sequence[str] = (),
    input_name: str = "pixel_values",
    limit: int | None = None,
    labelled: bool = True,
) -> Dataset:
    """Labelled data for :func:`edgetok.evaluate.evaluate`, or samples to calibrate on.

    Args:
        spec: ``imagefolder:PATH`` (one folder per class), a ``labels.tsv`` or a folder that has one (lines of file,
            tab, class index), a ``.npy`` file of token ids ``[windows, length]``, ``package.module:callable``, or in
            Python a callable or iterable that gives ``(inputs by name without batch axis, class index)``.
        preprocessing: of pictures.
        classes: the model's class names by index. Class folders are matched to them by name where they agree, else by
            sorted order.
        input_name: the model input that takes the pictures, or the tokens.
        limit: use only the first so many samples. Class folders take turns, one picture each, so that all runs of
            samples have classes evenly.
        labelled: whether labels matter; where they do not, a folder of pictures will do, and labels are 0.

    Raises:
        DatasetNotFound: nothing there, malformed, or it does not fit the classes.
    """
    if isinstance(spec, Path):
        spec = str(spec)
    if not isinstance(spec, str):
        return _samples(spec, getattr(spec, "__name__", "samples"), limit)
    scheme, _, rest = spec.partition(":")
    if scheme == "imagefolder" and rest:
        files = _folder(Path(rest).expanduser(), classes, limit)
    elif spec.endswith(tokens.SUFFIX) and Path(spec).expanduser().is_file():
        return tokens.read_tokens(Path(spec).expanduser(), name=spec, input_name=input_name, limit=limit)
    elif not labelled and (pictures := _pictures(Path(spec).expanduser())):
        files = [(path, 0) for path in pictures[:limit]]
    elif Path(spec).expanduser().exists():
        files = _table(Path(spec).expanduser(), limit)
    elif rest and "/" not in spec:
        from edgetok.sources.factory import find_callable

        return _samples(find_callable(spec), spec, limit)
    else:
        hint = "Give imagefolder:PATH, a folder with labels.tsv, a .npy of token ids, or package.module:callable."
        raise DatasetNotFound(f"There is no data at {spec!r}.", why="No such file or directory.", hint=hint)
    if preprocessing is None:
        hint = "Give one in the recipe: eval.preprocessing."
        raise DatasetNotFound(f"{spec} holds pictures, but the model says nothing on preprocessing.", hint=hint)
    return ImageFiles(spec, tuple(path for path, _ in files), tuple(i for _, i in files), preprocessing, input_name)


def _samples(given: Any, name: str, limit: int | None) -> Samples:
    try:
        samples = tuple(islice(given() if callable(given) else given, limit))
        malformed = [s for s in samples if len(s) != 2 or not isinstance(s[0], Mapping)]
    except Exception as error:
        raise DatasetNotFound(f"{name} gave no samples.", why=f"{type(error).__name__}: {error}") from error
    if malformed or not samples:
        why = f"It gave {type(malformed[0]).__name__}." if malformed else "It gave nothing."
        hint = "Give pairs: ({input name: array without batch axis}, class index)."
        raise DatasetNotFound(f"{name} gave no samples that can be evaluated.", why=why, hint=hint)
    return Samples(name, samples)


def _folder(root: Path, classes: Sequence[str], limit: int | None) -> list[tuple[Path, int]]:
    if not root.is_dir():
        raise DatasetNotFound(f"There is no folder {root}.", why="imagefolder: needs one folder per class.")
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    indices = _class_indices([folder.name for folder in folders], classes, root)
    per_class = [
        [(path, indices[folder.name]) for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES]
        for folder in folders
    ]
    if not any(per_class):
        raise DatasetNotFound(f"There are no pictures in {root}.", why=f"{len(folders)} folders, none with pictures.")
    rounds = [files[turn] for turn in range(max(map(len, per_class))) for files in per_class if turn < len(files)]
    return rounds[:limit]


def _class_indices(names: Sequence[str], classes: Sequence[str], root: Path) -> dict[str, int]:
    known = {name.casefold(): index for index, name in enumerate(classes)}
    if known and all(name.casefold() in known for name in names):
        return {name: known[name.casefold()] for name in names}
    if all(name.isdecimal() for name in names):
        return {name: int(name) for name in names}
    if classes and len(names) != len(classes):
        raise DatasetNotFound(
            f"The class folders in {root} do not fit the model.",
            why=f"{len(names)} folders, {len(classes)} classes, and the names differ (such as {names[0]!r}).",
            hint="Name each folder by its class name or index, or give a labels.tsv.",
        )
    return {name: index for index, name in enumerate(names)}


def _pictures(folder: Path) -> list[Path]:
    """The pictures of a folder without a table, by name."""
    if not folder.is_dir() or (folder / "labels.tsv").exists():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def _table(path: Path, limit: int | None) -> list[tuple[Path, int]]:
    table = path / "labels.tsv" if path.is_dir() else path
    if not table.is_file():
        hint = "Give imagefolder:PATH for one folder per class."
        raise DatasetNotFound(f"There is no labels.tsv in {path}.", hint=hint)
    if table.stat().st_size > MAX_TABLE:
        raise DatasetNotFound(f"{table} is too large for a table of labels.", why=f"{table.stat().st_size} bytes.")
    try:
        lines = table.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DatasetNotFound(f"{table} is no text.", why=str(error)) from error
    rows = [_row(table, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise DatasetNotFound(f"{table} is empty.")
    return rows[:limit]


def _row(table: Path, number: int, line: str) -> tuple[Path, int]:
    name, tab, index = line.rpartition("\t")
    if not tab or not index.strip().isdecimal():
        why = f"Line {number} is {line[:80]!r}."
        raise DatasetNotFound(f"{table} is malformed.", why=why, hint="Each line is file, tab, class index.")
    path = (table.parent / name).resolve()
    if not path.is_relative_to(table.parent.resolve()):
        raise DatasetNotFound(f"{table} points outside its folder.", why=f"Line {number} names {name!r}.")
    if not path.is_file():
        raise DatasetNotFound(f"{table} names a file that is missing.", why=f"Line {number}: {path}.")
    return path, int(index)
