"""What marks a directory that ``compress`` wrote, and which files are its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgetok.errors import BrokenWeights, UnsupportedModel
from edgetok_plugins.mc_moe.shards import Shards

METHOD = "edgetok-mc-moe"
"""``quantization_config.quant_method`` of the result."""
FORMAT = 1
"""``quantization_config.format``: how tensors are named and packed."""


def mark() -> dict[str, Any]:
    """The ``quantization_config`` of what ``compress`` writes."""
    return {"quant_method": METHOD, "format": FORMAT}


def check_mark(directory: Path, config: Mapping[str, Any], *methods: str | None) -> None:
    """Refuse what ``config.json`` says was quantised in another way.

    Args:
        directory: to name it.
        config: its config.json.
        methods: each ``quant_method`` that will do; ``None`` for a model that is not quantised.

    Raises:
        UnsupportedModel: another method, or a format of ours that is not known.
    """
    stored = config.get("quantization_config")
    settings = stored if isinstance(stored, dict) else {}
    found = settings.get("quant_method", "unknown") if "quantization_config" in config else None
    if found not in methods:
        state = f"quantised ({found})" if found else "not quantised"
        expected = " or ".join(method or "a model that is not" for method in methods)
        raise UnsupportedModel(f"{directory.name} is {state}.", why=f"expected {expected}")
    written = settings.get("format")
    if found == METHOD and (type(written) is not int or written != FORMAT):
        raise UnsupportedModel(
            f"{directory.name} is in format {written!r} of {METHOD}.",
            why=f"this version reads format {FORMAT}",
            hint="Compress the model again, or read it with the version that wrote it.",
        )


def own_shards(directory: Path) -> Shards:
    """The tensors in the files that the index names.

    Raises:
        BrokenWeights: a file is missing, malformed or outside the directory; in a hub cache its blobs are inside.
    """
    shards, root = Shards(directory), directory.resolve()
    inside = {root, root.parent.parent / "blobs"} if root.parent.name == "snapshots" else {root}
    for file in shards.files:
        if file.resolve().parent not in inside:
            raise BrokenWeights(f"{file.name} is a link to outside its directory.", why=f"it is in {directory.name}")
    return shards
