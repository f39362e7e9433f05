"""When measuring is refused."""

import os

import pytest

from edgetok.bench import load_average, require_quiet
from edgetok.errors import BenchRefused


def test_limit_decides() -> None:
    if load_average() is None:
        pytest.skip("this system does not tell its load average")
    assert require_quiet(limit=1e6) >= 0
    with pytest.raises(BenchRefused, match="load average"):
        require_quiet(limit=-1.0)


def test_waiting_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = iter([3.0, 2.0, 0.1])
    monkeypatch.setattr(os, "getloadavg", lambda: (next(loads), 0.0, 0.0))
    monkeypatch.setattr("time.sleep", lambda _: None)
    assert require_quiet(limit=0.5, wait=60) == 0.1


def test_unknown_load_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (_ for _ in ()).throw(OSError()))
    assert load_average() is None
    with pytest.raises(BenchRefused, match="unknown"):
        require_quiet()
