"""What a model is fitted to and what it is judged on share no identical sample."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from edgetok.errors import BadCommand

if TYPE_CHECKING:
    from edgetok.session.inputs import Fitted


def require_apart(fitting: Fitted, evaluation: Fitted, use: str) -> None:
    """Refuse data sets that share a sample, by content.

    Args:
        fitting: the samples that something is chosen on.
        evaluation: the samples that it is judged on.
        use: what ``fitting`` is for, in a word.

    Raises:
        BadCommand: they do.
    """
    files = all(hasattr(data.dataset, "files") for data in (fitting, evaluation))
    digest = fingerprints if files else _of_arrays
    shared = len(digest(fitting) & digest(evaluation))
    if shared:
        raise BadCommand(
            f"{use} and evaluation data overlap",
            why=f"{shared} {'sample is' if shared == 1 else 'samples are'} among the {len(fitting)} of {fitting.name} "
            f"that are used for {use} and among the {len(evaluation)} of {evaluation.name} that are evaluated",
            hint="give different data, or --eval alone: it is then split",
        )


def fingerprints(data: Fitted) -> frozenset[str]:
    """A digest of every sample's content: of its file where there is one."""
    files = getattr(data.dataset, "files", None)
    if files is not None:
        return frozenset(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)
    return _of_arrays(data)


def _of_arrays(data: Fitted) -> frozenset[str]:
    found = set()
    for arrays, _ in data.batches(1):
        digest = hashlib.sha256()
        for name in sorted(arrays):
            digest.update(name.encode() + arrays[name].tobytes())
        found.add(digest.hexdigest())
    return frozenset(found)
