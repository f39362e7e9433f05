"""``sample:NAME``: small trained models that come with the project."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from edgetok.errors import ModelNotFound

if TYPE_CHECKING:
    from edgetok.model import Model


def load_sample(name: str, *, source: str) -> Model:
    """The sample of that name, a transformers directory under ``samples/``.

    Raises:
        ModelNotFound: there is no such sample.
    """
    from edgetok.sources.huggingface import load_directory

    known = {path.parent.name: path.parent for root in sample_roots() for path in sorted(root.glob("*/config.json"))}
    if name not in known:
        close = get_close_matches(name, known, n=1)
        hint = f"Did you mean sample:{close[0]}?" if close else f"There are: {', '.join(sorted(known)) or 'none'}."
        raise ModelNotFound(f"There is no sample {name!r}.", why="Samples come with the source tree.", hint=hint)
    return load_directory(known[name], source=source, name=name)


def sample_roots() -> list[Path]:
    """Where samples are looked for: beside an editable install's package, and inside an installed one."""
    package = Path(__file__).resolve().parents[1]
    return [root for root in (package / "_samples", package.parent / "samples") if root.is_dir()]
