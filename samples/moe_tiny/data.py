"""Five clearly different kinds of text that every Python installation holds or can make, split once and for all.

Tokens are bytes. Nothing is downloaded: prose is the text of Python's own help, code its standard library, names those
of Unicode 3.2; sums and records are generated. What is held out is decided unit by unit (a help topic, a module, a
character, a line), by the checksum of its name, so that it is the same in every version of Python and never part of
what was trained on.

``python samples/moe_tiny/data.py OUT`` writes ``OUT/held_out.npy`` and ``OUT/calibration.npy``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import sysconfig
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LENGTH = 128
HELD_OUT_WINDOWS = 64
CALIBRATION_WINDOWS = 32
HELD_OUT_SHARE = 10
GENERATED_LINES = 30_000

Split = Literal["train", "held_out"]
Unit = tuple[str, str]


def prose() -> Iterator[Unit]:
    """The topics of Python's ``help()``."""
    from pydoc_data.topics import topics

    yield from sorted(topics.items())


def code() -> Iterator[Unit]:
    """The modules of the standard library that are one file."""
    root = Path(sysconfig.get_path("stdlib"))
    for name in sorted(sys.stdlib_module_names):
        path = root / f"{name}.py"
        if not name.startswith("_") and path.is_file():
            yield name, path.read_text(encoding="utf-8")


def names() -> Iterator[Unit]:
    """The characters of Unicode 3.2 that have a name of their own: code point and name."""
    from unicodedata import ucd_3_2_0

    numbered = ("CJK UNIFIED", "CJK COMPATIBILITY", "HANGUL SYLLABLE")
    for point in range(sys.maxunicode + 1):
        name = ucd_3_2_0.name(chr(point), "")
        if name and not name.startswith(numbered):
            yield f"{point:04X}", f"{point:04X};{name}\n"


def sums() -> Iterator[Unit]:
    """Additions, subtractions and products of random numbers, with their results."""
    chance = random.Random(1)
    for _ in range(GENERATED_LINES):
        a, b = (chance.randrange(10 ** chance.randrange(1, 4)) for _ in range(2))
        sign, result = chance.choice((("+", a + b), ("-", a - b), ("*", a * b)))
        question = f"{a} {sign} {b}"
        yield question, f"{question} = {result}\n"


def records() -> Iterator[Unit]:
    """Lines of JSON: an order in a shop that does not exist."""
    chance = random.Random(2)
    items = ("lamp", "chair", "kettle", "rope", "mirror", "bucket", "ladder", "candle")
    states = ("open", "paid", "sent", "returned")
    for number in range(GENERATED_LINES // 3):
        order = {
            "order": 100_000 + number,
            "at": f"20{chance.randrange(10, 30)}-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}",
            "state": chance.choice(states),
            "lines": [
                {"item": chance.choice(items), "count": chance.randrange(1, 10)} for _ in range(chance.randrange(1, 4))
            ],
            "express": chance.random() < 0.25,
        }
        yield str(number), json.dumps(order) + "\n"


SOURCES: dict[str, Callable[[], Iterator[Unit]]] = {
    "prose": prose,
    "code": code,
    "names": names,
    "sums": sums,
    "records": records,
}


@cache
def tokens(source: str, split: Split) -> NDArray[np.uint8]:
    """All text of one source and split: uint8, one token a byte. Units come in the order of their checksums."""
    units = sorted((zlib.crc32(name.encode()), text) for name, text in SOURCES[source]())
    chosen = [text for check, text in units if (check % HELD_OUT_SHARE == 0) == (split == "held_out")]
    return np.frombuffer("".join(chosen).encode(), np.uint8)


def windows(split: Split, count: int) -> NDArray[np.uint8]:
    """``count`` windows of every source, spread evenly over its text, the sources taking turns.

    Returns:
        uint8 ``[count * sources, LENGTH]``; windows do not overlap where the text is long enough.
    """
    parts = []
    for source in SOURCES:
        text = tokens(source, split)
        starts = np.linspace(0, len(text) - LENGTH, count).astype(np.int64)
        parts.append(text[starts[:, None] + np.arange(LENGTH)])
    return np.stack(parts, 1).reshape(-1, LENGTH)


def digests() -> dict[str, dict[str, str]]:
    """SHA-256 of every split of every source, to tell whether another Python gives the same text."""
    splits: tuple[Split, ...] = ("train", "held_out")
    return {
        source: {split: hashlib.sha256(tokens(source, split).tobytes()).hexdigest() for split in splits}
        for source in SOURCES
    }


def write(directory: Path) -> None:
    """Write ``held_out.npy`` and, from what was trained on, ``calibration.npy``: uint8 ``[windows, LENGTH]``."""
    directory.mkdir(parents=True, exist_ok=True)
    np.save(directory / "held_out.npy", windows("held_out", HELD_OUT_WINDOWS))
    np.save(directory / "calibration.npy", windows("train", CALIBRATION_WINDOWS))


def main() -> None:
    """Write the token files to a directory."""
    parser = argparse.ArgumentParser(description="Write held-out and calibration tokens as .npy files.")
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    write(out)
    print(f"held_out.npy and calibration.npy in {out}")


if __name__ == "__main__":
    main()
