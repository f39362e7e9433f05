"""What every test shares: no network, one thread, where the measuring data is, and the hypothesis profile."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
gc.set_threshold(20_000, 10, 10)  # tracing makes and drops objects by the million

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # started in the background of a script; children inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).resolve().parent.parent

settings.register_profile(
    "edgetok", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("edgetok")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def measuring_data() -> Callable[[str], Path]:
    """``measuring_data("vit_tiny_in1k")``: a folder of real weights or data, or a skip that says what is missing."""
    root = Path(os.environ.get("EDGETOK_DATA", REPOSITORY.parent / "shared" / "data"))

    def find(name: str) -> Path:
        path = root / name
        if not path.exists():
            pytest.skip(f"{name} is not in the measuring data; EDGETOK_DATA names the folder that holds it")
        return path

    return find


@pytest.fixture(scope="session")
def golden() -> Callable[[str, str], None]:
    """``golden("cli/help.txt", text)`` compares with the kept text; ``EDGETOK_UPDATE_GOLDEN=1`` keeps the new one."""

    def compare(name: str, text: str) -> None:
        path = REPOSITORY / "tests" / "golden" / name
        text = "\n".join(line.rstrip() for line in text.strip("\n").splitlines()) + "\n"
        if os.environ.get("EDGETOK_UPDATE_GOLDEN"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"{name} is missing: make golden"
        assert path.read_text(encoding="utf-8") == text, f"{name} differs: if that is meant, make golden"

    return compare
