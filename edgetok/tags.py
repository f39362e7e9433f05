"""The vocabulary in which plugins say what they change, so that their order never depends on each other's names."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType
from typing import Final

from edgetok.errors import UnknownTag
from edgetok.suggest import hint

TAGS: Final = MappingProxyType(
    {
        "token-count": "how many tokens a layer sees",
        "token-order": "in which order a layer sees its tokens",
        "attention": "what an attention computes, or with which op",
        "kv-cache": "what a key/value cache holds, or for how long",
        "experts": "which experts exist, or which a token visits",
        "weights": "values, shapes or packing of parameters",
        "precision": "number formats of weights or activations",
        "sampling": "how the next token, sample or denoising step is chosen",
        "steps": "how often a component runs for one result",
        "partition": "into which programs a model is cut",
        "io": "names, shapes or meaning of inputs and outputs",
    }
)
"""Every tag with its meaning."""


def check_tags(owner: str, tags: Iterable[str]) -> None:
    """Refuse tags outside the vocabulary.

    Raises:
        UnknownTag: naming the plugin, the tag and the nearest one.
    """
    for tag in tags:
        if tag not in TAGS:
            raise UnknownTag(
                f"plugin {owner!r} uses the unknown tag {tag!r}",
                why="plugins are ordered by tags from a fixed vocabulary (edgetok.tags.TAGS)",
                hint=hint(tag, TAGS, kind="tag"),
            )
