"""Ctrl-C, a kill and a full disk leave what was there."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-u", "-m", "edgetok.cli", "optimize", "shop_models:make", "-p", "tome:r=2", "-o"]


def environment(shop, **more):
    return {**os.environ, "PYTHONPATH": str(shop), "NO_COLOR": "1", **more}


@pytest.fixture
def here(tmp_path):
    """An empty working directory, with ``scratch`` for temporary files beside it."""
    for name in ("here", "scratch"):
        (tmp_path / name).mkdir()
    return tmp_path / "here"


def left_behind(here):
    """What a run left: in its working directory, and in the folder for temporary files."""
    return [*here.iterdir(), *(path for path in (here.parent / "scratch").iterdir() if "edgetok" in path.name)]


@pytest.mark.parametrize(
    ("number", "status", "after"),
    [
        pytest.param(signal.SIGINT, 130, "load", marks=pytest.mark.exhaustive),
        (signal.SIGINT, 130, "export dense"),
        (signal.SIGTERM, 143, "rewrite"),
    ],
)
def test_an_interrupted_run_leaves_nothing(shop, here, number, status, after):
    child = subprocess.Popen(
        [*COMMAND, "deep/er/out", "bench.runs=100000"],
        cwd=here,
        env=environment(shop, TMPDIR=str(here.parent / "scratch")),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    said = []
    for row in child.stderr:
        said.append(row)
        if row.startswith(f"{after}:"):
            child.send_signal(number)
            break
    said += child.stderr.readlines()
    child.stderr.close()
    assert child.wait(60) == status, said
    assert not any("Traceback" in row for row in said)
    assert not any(row.startswith("measure:") for row in said), "it ran to its end"
    assert left_behind(here) == []


def test_a_disk_that_fills_up(shop, here):
    """Files may grow to 20 kB only: writing the model fails half-way, as on a full disk."""
    done = subprocess.run(
        [*COMMAND, "out", "bench.enabled=false"],
        cwd=here,
        env=environment(shop, TMPDIR=str(here.parent / "scratch")),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 6, done.stderr
    assert "ET404: " in done.stderr
    assert "Traceback" not in done.stderr
    assert left_behind(here) == []


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 kB, where one may be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_disk_without_space_is_told_before_any_long_work(small_disk, line, models):
    (small_disk / "mine").write_text("precious")
    said = line("optimize", models["vit"], "-p", "tome:r=4", "-o", small_disk / "out", "--no-bench")
    assert said.status == 6
    assert "ET404: " in said.err
    assert "export" not in said.err
    assert [path.name for path in Path(small_disk).iterdir()] == ["mine"]
