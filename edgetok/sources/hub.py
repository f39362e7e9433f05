"""Hub ids: what is cached here, and what may be fetched only when asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgetok.errors import MissingExtra, ModelNotFound, NetworkRefused

SAFE_FILES = ("*.json", "*.safetensors", "README.md")


def snapshot(name: str, *, allow_network: bool) -> Path:
    """The local directory of hub model ``owner/name``; only JSON, safetensors and the model card are ever fetched.

    Raises:
        NetworkRefused: it is not cached on this machine and ``allow_network`` is false.
        ModelNotFound: the hub does not have it, or cannot be reached.
        MissingExtra: huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError
    except ImportError as error:
        raise MissingExtra(f"{name} needs huggingface_hub.", hint="pip install 'edgetok[hf]'") from error
    try:
        return Path(snapshot_download(name, local_files_only=not allow_network, allow_patterns=list(SAFE_FILES)))
    except (LocalEntryNotFoundError, ValueError, OSError) as error:
        if not allow_network:
            raise NetworkRefused(
                f"{name!r} is neither a local path nor a cached hub model.",
                why="Fetching it needs the network, which edgetok does not use unless asked.",
                hint="Pass --allow-network, or check the path if you meant a local directory.",
            ) from None
        line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ModelNotFound(f"The hub gave no {name!r}.", why=f"{type(error).__name__}: {line}") from error


@contextmanager
def offline() -> Iterator[None]:
    """Within it huggingface_hub refuses every request, whatever a model directory asks for."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
