import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgetok.bundle.staging import check_output, staged
from edgetok.errors import DiskFull, OutputExists, OutputNotWritable


@pytest.fixture
def old(tmp_path, fill):
    """A bundle that is there already."""
    path = tmp_path / "out"
    path.mkdir()
    fill(path)
    return path


def tree(path):
    return {p.relative_to(path).as_posix(): p.read_bytes() if p.is_file() else None for p in path.rglob("*")}


def test_the_directory_appears_at_the_end(tmp_path):
    out = tmp_path / "a" / "b" / "out"
    with staged(out) as stage:
        (stage / "f").write_text("x")
        assert not out.exists()
        assert stage.parent == out.parent
    assert tree(tmp_path / "a") == {"b": None, "b/out": None, "b/out/f": b"x"}


def test_rights_follow_the_umask(tmp_path):
    (tmp_path / "plain").mkdir()
    with staged(tmp_path / "out"):
        pass
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_after_a_failure_nothing_is_there(tmp_path, error):
    def fail():
        with staged(tmp_path / "a" / "out") as stage:
            (stage / "f").write_text("x")
            raise error

    with pytest.raises(error):
        fail()
    assert tree(tmp_path) == {}


def test_an_existing_bundle_needs_force(old):
    before = tree(old)
    with pytest.raises(OutputExists, match="--force"), staged(old):
        pass
    with staged(old, force=True) as stage:
        (stage / "f").write_text("x")
        assert tree(old) == before
    assert tree(old.parent) == {"out": None, "out/f": b"x"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_a_failure_the_old_bundle_is_untouched(old, error):
    before = tree(old.parent)

    def fail():
        with staged(old, force=True) as stage:
            (stage / "f").write_text("x")
            raise error

    with pytest.raises(error):
        fail()
    assert tree(old.parent) == before


def test_a_failing_swap_puts_the_old_bundle_back(old):
    before = tree(old.parent)

    def fail():
        with staged(old, force=True) as stage:
            stage.rmdir()

    with pytest.raises(OutputNotWritable):
        fail()
    assert tree(old.parent) == before


@pytest.mark.parametrize("make", ["file", "link", "foreign"])
def test_force_replaces_bundles_only(tmp_path, old, make):
    out = tmp_path / "precious"
    if make == "file":
        out.write_text("precious")
    elif make == "link":
        out.symlink_to(old)
    else:
        out.mkdir()
        (out / "thesis.txt").write_text("precious")
    before = tree(tmp_path)
    for attempt in (check_output, lambda *a, **k: staged(*a, **k).__enter__()):
        with pytest.raises(OutputExists):
            attempt(out, force=True)
    assert tree(tmp_path) == before


def test_an_empty_directory_may_be_filled(tmp_path):
    (tmp_path / "out").mkdir()
    with staged(tmp_path / "out") as stage:
        (stage / "f").write_text("x")
    assert tree(tmp_path) == {"out": None, "out/f": b"x"}


def test_something_that_appears_meanwhile_is_not_overwritten(tmp_path):
    def race():
        with staged(tmp_path / "out") as stage:
            (stage / "f").write_text("x")
            (tmp_path / "out").mkdir()
            (tmp_path / "out" / "theirs").write_text("y")

    with pytest.raises(OutputExists):
        race()
    assert tree(tmp_path) == {"out": None, "out/theirs": b"y"}


def test_the_preflight_leaves_nothing(tmp_path):
    check_output(tmp_path / "a" / "b")
    assert tree(tmp_path) == {}


def test_a_place_below_a_file_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputNotWritable):
        check_output(tmp_path / "file" / "deep" / "out")
    with pytest.raises(OutputNotWritable), staged(tmp_path / "file" / "out"):
        pass
    assert tree(tmp_path) == {"file": b"x"}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="rights do not stop the superuser")
def test_a_directory_without_the_right_to_write(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputNotWritable):
            check_output(tmp_path / "out")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc")
def test_a_file_system_that_takes_nothing():
    with pytest.raises(OutputNotWritable):
        check_output(Path("/proc/edgetok/out"))


def test_too_little_space_is_told_before_the_work(tmp_path):
    with pytest.raises(DiskFull, match="enough space"):
        check_output(tmp_path / "out", need=10**18)
    assert tree(tmp_path) == {}


def test_a_full_disk_is_told_and_cleaned(tmp_path):
    def fill_disk():
        with staged(tmp_path / "out") as stage:
            (stage / "f").write_text("x")
            with full.open("w") as file:
                file.write("x")

    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(DiskFull):
        fill_disk()
    assert tree(tmp_path) == {}


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 kB."""
    path = tmp_path / "disk"
    path.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", path], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting is not permitted here: {done.stderr.decode().strip()}")
    yield path
    subprocess.run(["umount", path], check=True)


@pytest.mark.parametrize("hidden", [False, True], ids=["said", "hidden"])
def test_a_really_full_disk(small_disk, fill, hidden):
    """``hidden``: a library that swallows the reason of the failure."""
    out = small_disk / "out"
    out.mkdir()
    fill(out)
    before = tree(small_disk)

    def write():
        with staged(out, force=True) as stage:
            try:
                (stage / "big").write_bytes(b"x" * 1_000_000)
            except OSError:
                if hidden:
                    raise RuntimeError("could not save") from None
                raise

    with pytest.raises(DiskFull):
        write()
    assert tree(small_disk) == before


CODE = """
import sys, time
from pathlib import Path
from edgetok.bundle.staging import staged
with staged(Path(sys.argv[1]), force=True) as stage:
    (stage / "f").write_text("x")
    print("ready", flush=True)
    time.sleep(60)
"""


def test_ctrl_c_leaves_what_was_there(old):
    before = tree(old.parent)
    child = subprocess.Popen([sys.executable, "-c", CODE, str(old)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert child.stdout.readline() == b"ready\n"
    assert len(tree(old.parent)) > len(before)
    time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    assert child.wait(20) != 0
    child.stdout.close()
    assert tree(old.parent) == before
