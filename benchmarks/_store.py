"""Results kept between runs, so that a benchmark that was stopped goes on: by what they depend on, in ``build/``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgetok.plugin import TokenReduction
from edgetok.tune.judge import Losses

ROOT = Path(__file__).resolve().parent.parent


def sources(root: Path = ROOT) -> str:
    """A digest of the code that results depend on: edgetok, its plugins and exporters."""
    digest = hashlib.sha256()
    for folder in ("edgetok", "plugins", "exporters", "targets"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".py", ".toml"):
                digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Store:
    """Files named by a digest of what their content depends on.

    Attributes:
        folder: where they are.
        about: what all of them depend on: the code, the model, the data.
    """

    folder: Path
    about: str

    @classmethod
    def at(cls, name: str, *about: str) -> Store:
        """The store of a benchmark, with the code as it is now."""
        folder = ROOT / "build" / "benchmarks" / name
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder, " ".join([sources(), *about]))

    def path(self, suffix: str, *parts: object) -> Path:
        """The file of something."""
        text = json.dumps([self.about, *parts], sort_keys=True, default=str)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}{suffix}"

    def keep_json(self, value: Any, *parts: object) -> Any:
        """Write a value, and give it back."""
        path = self.path(".json", *parts)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(value), encoding="utf-8")
        part.replace(path)
        return value

    def json(self, *parts: object) -> Any:
        """A value that was kept; ``None`` where there is none."""
        path = self.path(".json", *parts)
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def keep_losses(self, losses: Losses, *parts: object) -> Losses:
        """Write losses, and give them back."""
        arrays = {"kl": losses.kl, "agree": losses.agree, "dense_right": losses.dense_right, "right": losses.right}
        path = self.path(".npz", *parts)
        part = path.with_suffix(".part.npz")
        np.savez(part, **{name: np.asarray(array) for name, array in arrays.items()})
        part.replace(path)
        return losses

    def losses(self, *parts: object) -> Losses | None:
        """Losses that were kept; ``None`` where there are none."""
        path = self.path(".npz", *parts)
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as found:
            return Losses(found["kl"], found["agree"], found["dense_right"], found["right"])


def identity(plugin: TokenReduction) -> Sequence[object]:
    """What a configured plugin is, for :meth:`Store.path`."""
    return plugin.name, plugin.options()
