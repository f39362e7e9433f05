import json
import signal
import subprocess
import sys

import pytest

from edgetok.recipe_file import load_recipe


def tree(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if "__pycache__" not in path.parts}


def test_json_is_all_there_is_on_stdout(bundle, workshop):
    assert bundle.returncode == 0, bundle.stderr
    said = json.loads(bundle.stdout)
    assert set(said) == {"bundle", "plan", "report"}
    assert said["report"]["parity"]["passed"] is True
    assert said["report"]["tokens"]
    assert json.loads((workshop.folder / "out" / "report.json").read_text()) == said["report"]
    assert "export" in bundle.stderr


def test_the_saved_recipe_replays_to_the_same_plan(bundle, workshop):
    digest = json.loads(bundle.stdout)["plan"]["digest"]
    assert load_recipe(workshop.folder / "saved.yaml").plan_digest == digest
    done = workshop("optimize", "-c", "out/recipe.yaml", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["plan"]["digest"] == digest
    assert json.loads(done.stdout)["bundle"] is None


def test_a_dry_run_shows_the_plan_and_writes_nothing(bundle, workshop):
    before = tree(workshop.folder)
    done = workshop("optimize", "tiny:make", "-p", "tome:r=2", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "12 -> 10" in done.stdout
    assert tree(workshop.folder) == before


@pytest.mark.parametrize(
    ("arguments", "code", "status", "says"),
    [
        (["tiny:make", "-p", "tme"], "ET101", 3, "did you mean 'tome'?"),
        (["tiny:make", "-p", "tome:q=8"], "ET001", 2, "has no option 'q'"),
        (["tiny:make", "-p", "tome:r=-1"], "ET001", 2, "cannot be -1"),
        (["tiny:make", "-p", "tome:r=many"], "ET001", 2, "cannot be 'many'"),
        (["tiny:make", "-p", "tome", "-t", "onxn"], "ET102", 3, "did you mean 'onnx'?"),
        (["tiny:make", "-p", "tome", "exporter.dtyp=fp16"], "ET001", 2, "did you mean 'dtype'?"),
        (["nowhere", "-p", "tome"], "ET103", 3, "nowhere"),
        (["tiny:make", "-p", "tome", "-o", "tiny.py/x/out"], "ET403", 6, "cannot be written"),
        (["tiny:make", "-p", "tome", "-o", "out"], "ET402", 6, "--force"),
        (["tiny:make", "-p", "tome", "-o", "tiny.py", "--force"], "ET402", 6, "is no directory"),
    ],
)
def test_bad_input_is_told_with_its_status_and_writes_nothing(bundle, workshop, arguments, code, status, says):
    before = tree(workshop.folder)
    output = [] if "-o" in arguments else ["-o", "new/out"]
    done = workshop("optimize", *arguments, *output, "--json")
    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (status, code), done.stderr
    assert says in done.stderr
    assert tree(workshop.folder) == before


def test_ctrl_c_in_the_middle_leaves_nothing(bundle, workshop):
    before = tree(workshop.folder)
    command = [sys.executable, "-m", "edgetok.cli", "optimize", "tiny:make", "-p", "tome:r=2", "-o", "stopped/out"]
    child = subprocess.Popen(command, cwd=workshop.folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    while not (line := child.stderr.readline()).startswith("rewrite:"):
        assert line, "it ended before it was interrupted"
    assert (workshop.folder / "stopped").exists()
    child.send_signal(signal.SIGINT)
    said = child.stderr.read()
    child.stderr.close()
    assert child.wait(60) == 130
    assert "interrupted" in said
    assert "Traceback" not in said
    assert tree(workshop.folder) == before


def test_a_full_disk_is_told_and_leaves_nothing(bundle, workshop):
    disk = workshop.folder / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", disk], capture_output=True, check=False)
    if done.returncode:
        disk.rmdir()
        pytest.skip(f"mounting is not permitted here: {done.stderr.decode().strip()}")
    try:
        done = workshop("optimize", "tiny:make", "-p", "tome:r=2", "-o", "disk/out", "--no-bench")
        assert (done.returncode, "ET404: " in done.stderr) == (6, True), done.stderr
        assert tree(disk) == set()
    finally:
        subprocess.run(["umount", disk], check=True)
        disk.rmdir()
