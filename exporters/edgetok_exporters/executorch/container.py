"""What a ``.pte`` file says about itself, read without the runtime: identifiers, sizes, names."""

from __future__ import annotations

from pathlib import Path

from edgetok.errors import RuntimeFailed

INPUTS, OUTPUTS, DELEGATE = "edgetok_inputs", "edgetok_outputs", "edgetok_delegate"
"""Constant methods of our files, in JSON: names in the order of ``forward``, and the delegate's name in a list."""
ETHOS_U = "ethos-u"
"""The delegate's name in targets and files."""
HEADER = 40
"""Bytes with the sizes: root offset, ``ETxx``, ``eh00``, its length, program size, segments' offset and size."""


def check_container(entry: Path) -> None:
    """Refuse what is not a whole ``.pte`` file; the runtime maps files into memory and trusts their sizes.

    Raises:
        RuntimeFailed: it is missing, of another format, or shorter than it says.
    """
    try:
        size = entry.stat().st_size
        with entry.open("rb") as file:
            head = file.read(HEADER)
    except OSError as error:
        raise _refused(entry, f"it cannot be read: {error.strerror}") from error
    if len(head) < HEADER or head[4:6] != b"ET" or head[8:12] != b"eh00":
        raise _refused(entry, f"it does not begin like a .pte file ({len(head[:8])} bytes: {head[:8].hex()})")
    program, start, data = (int.from_bytes(head[at : at + 8], "little") for at in (16, 24, 32))
    if max(program, start + data) > size or program < HEADER:
        raise _refused(entry, f"it says it has {max(program, start + data)} bytes, and has {size}")


def _refused(entry: Path, why: str) -> RuntimeFailed:
    return RuntimeFailed(f"{entry.name} is not an ExecuTorch program.", why=why, hint="Export it again.")
