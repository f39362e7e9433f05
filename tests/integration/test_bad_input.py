"""Bad input: a coded error on stderr, its family's exit status, JSON where asked for, and nothing written."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sys
from pathlib import Path

import pytest
import torch

FAMILIES = {"0": 2, "1": 3, "2": 4, "3": 5, "4": 6, "5": 7}


@pytest.fixture(scope="module")
def corner(models, shop, tmp_path_factory):
    """A folder full of what goes wrong; nothing in it may change."""
    folder = tmp_path_factory.mktemp("corner")
    truncated = folder / "truncated"
    shutil.copytree(models["vit"], truncated)
    weights = truncated / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    shutil.copytree(models["vit"], folder / "pickled", ignore=shutil.ignore_patterns("*.safetensors"))
    torch.save({"a": torch.zeros(1)}, folder / "pickled" / "pytorch_model.bin")
    torch.save(torch.nn.Linear(2, 2), folder / "model.pt")
    (folder / "model.pt2").write_bytes(pickle.dumps({"a": 1}))
    (folder / "notes.txt").write_text("no model")
    (folder / "bad.yaml").write_text("model: [")
    (folder / "twice.yaml").write_text("model: shop_models:make\nplugins:\n- tome:r=2\n- tome:r=4\n")
    (folder / "keys.yaml").write_text("model: shop_models:make\nplugin: tome\n")
    (folder / "list.yaml").write_text("- model\n")
    (folder / "digest.yaml").write_text("model: shop_models:make\nplugins: tome:r=2\nplan_digest: '00'\n")
    (folder / "bad.toml").write_text("name = ")
    (folder / "poor.toml").write_text('name = "poor"\n')
    (folder / "strange.toml").write_text('name = "s"\nsummary = "s"\nexporter = "strange"\nruntime = "none"\n')
    (folder / "full").mkdir()
    (folder / "full" / "file").write_text("mine")
    (folder / "link").symlink_to("full")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "loop").symlink_to("loop")
    (folder / "labels").mkdir()
    (folder / "labels" / "labels.tsv").write_text("a.png\t0\n")
    (folder / "broken").mkdir()
    for index in range(7):
        (folder / "broken" / str(index)).mkdir()
        (folder / "broken" / str(index) / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n no picture")
    (folder / "classes" / "cat").mkdir(parents=True)
    (folder / "classes" / "cat" / "a.png").write_bytes(b"")
    (folder / "empty").mkdir()
    return folder


TOME = ("--plugins", "tome:r=2")
OUT = ("-o", "out")
MAKE = ("shop_models:make",)
VIT = ("VIT", *TOME, *OUT)
CASES = {
    # what is asked for
    "unknown plugin": ((*MAKE, "-p", "tmoe", *OUT), "ET101", "did you mean 'tome'?"),
    "plugin without a name": ((*MAKE, "-p", ":r=8", *OUT), "ET001", "is no plugin name"),
    "unknown option": ((*MAKE, "-p", "tome:rr=8", *OUT), "ET001", "did you mean 'r'?"),
    "wrong type": ((*MAKE, "-p", "tome:r=eight", *OUT), "ET001", "cannot be 'eight'"),
    "fraction": ((*MAKE, "-p", "tome:r=1.5", *OUT), "ET001", "cannot be 1.5"),
    "truth for a number": ((*MAKE, "-p", "tome:r=true", *OUT), "ET001", "true is no number"),
    "negative r": ((*MAKE, "-p", "tome:r=-8", *OUT), "ET001", "cannot be -8"),
    "negative r in a list": ((*MAKE, "-p", "tome:r=[8,-8]", *OUT), "ET001", "-8"),
    "option twice": ((*MAKE, "-p", "tome:r=8,r=9", *OUT), "ET001", "given twice"),
    "plugin twice": ((*MAKE, "-p", "tome:r=2,tome:r=3", *OUT), "ET001", "given twice"),
    "unknown target": ((*MAKE, *TOME, *OUT, "-t", "onx"), "ET102", "did you mean 'onnx'?"),
    "unknown exporter option": ((*MAKE, *TOME, *OUT, "exporter.dtyp=fp16"), "ET001", "did you mean 'dtype'?"),
    "wrong exporter option": ((*MAKE, *TOME, *OUT, "exporter.dtype=fp12"), "ET001", "'fp12'"),
    "batch of nobody": ((*MAKE, *TOME, *OUT, "exporter.batch=0"), "ET001", "cannot be 0"),
    "batch 0": ((*MAKE, *TOME, *OUT, "--batch", "0"), "ET003", "--batch"),
    "threads 0": ((*MAKE, *TOME, *OUT, "--threads", "0"), "ET003", "--threads"),
    "threads 0 as an override": ((*MAKE, *TOME, *OUT, "bench.threads=0"), "ET002", "threads"),
    "no parity samples": ((*MAKE, *TOME, *OUT, "parity.samples=0"), "ET002", "samples"),
    "unknown key": ((*MAKE, *TOME, *OUT, "bench.thread=2"), "ET002", "did you mean 'threads'?"),
    "option of another plugin": ((*MAKE, *TOME, *OUT, "plugins.pitome.r=2"), "ET002", "plugins.tome.OPTION"),
    # recipes
    "no recipe": (("-c", "none.yaml", *OUT), "ET002", "cannot be read"),
    "recipe is no YAML": (("-c", "CORNER/bad.yaml", *OUT), "ET002", "is not YAML"),
    "recipe is a list": (("-c", "CORNER/list.yaml", *OUT), "ET002", "is no recipe"),
    "recipe with an unknown key": (("-c", "CORNER/keys.yaml", *OUT), "ET002", "did you mean 'plugins'?"),
    "recipe with a plugin twice": (("-c", "CORNER/twice.yaml", *OUT), "ET002", "'tome' is listed twice"),
    "recipe with another digest": (("-c", "CORNER/digest.yaml", *OUT), "ET207", "recorded 00"),
    # targets
    "no target file": ((*MAKE, *TOME, *OUT, "-t", "none.toml"), "ET102", "cannot be read"),
    "target is no TOML": ((*MAKE, *TOME, *OUT, "-t", "CORNER/bad.toml"), "ET112", "is not TOML"),
    "target says too little": ((*MAKE, *TOME, *OUT, "-t", "CORNER/poor.toml"), "ET112", "does not describe"),
    "target of an unknown exporter": ((*MAKE, *TOME, *OUT, "-t", "CORNER/strange.toml"), "ET108", "'strange'"),
    # models
    "no model there": (("nowhere", *TOME, *OUT), "ET103", "'nowhere'"),
    "no sample": (("sample:vit_digit", *TOME, *OUT), "ET103", "Did you mean sample:vit_digits?"),
    "no factory": (("shop_models:mak", *TOME, *OUT), "ET103", "make"),
    "no module": (("shop_model:make", *TOME, *OUT), "ET103", "shop_model"),
    "hub without asking": (("google/vit-base-patch16-224", *TOME, *OUT), "ET107", "--allow-network"),
    "truncated weights": (("CORNER/truncated", *TOME, *OUT), "ET104", "truncated"),
    "pickled weights": (("CORNER/pickled", *TOME, *OUT), "ET105", "safetensors"),
    "a pickle": (("CORNER/model.pt", *TOME, *OUT), "ET105", "weights_only=True"),
    "pt2 that is no archive": (("CORNER/model.pt2", *TOME, *OUT), "ET104", "no .pt2 archive"),
    "no model file": (("CORNER/notes.txt", *TOME, *OUT), "ET115", "notes.txt"),
    "folder without a config": (("CORNER/full", *TOME, *OUT), "ET115", "config.json"),
    "factory that raises": (("shop_models:raising", *TOME, *OUT), "ET115", "this factory is broken"),
    "factory of nothing": (("shop_models:nothing", *TOME, *OUT), "ET115", "int"),
    "half precision": (("shop_models:half", *TOME, *OUT), "ET115", "float16"),
    "what cannot be captured": (("shop_models:odd", *TOME, *OUT), "ET301", "shop_models.py:19"),
    "a link to itself": (("CORNER/loop", *TOME, *OUT), "ET103", "loop"),
    # plans
    "no attention": (("shop_models:linear", *TOME, *OUT), "ET201", "no self-attention"),
    "windows": (("SWIN", *TOME, *OUT), "ET201", "window"),
    # outputs
    "output exists": ((*MAKE, *TOME, "-o", "CORNER/full"), "ET402", "--force"),
    "output is no bundle": ((*MAKE, *TOME, "-o", "CORNER/full", "--force"), "ET402", "is no bundle"),
    "output is a file": ((*MAKE, *TOME, "-o", "CORNER/notes.txt", "--force"), "ET402", "no directory"),
    "output is a link": ((*MAKE, *TOME, "-o", "CORNER/link", "--force"), "ET402", "no directory"),
    "output is a dangling link": ((*MAKE, *TOME, "-o", "CORNER/dangling"), "ET402", "no directory"),
    "output under a file": ((*MAKE, *TOME, "-o", "CORNER/notes.txt/out"), "ET403", "cannot be written"),
    "output under a loop": ((*MAKE, *TOME, "-o", "CORNER/loop/out"), "ET403", "cannot be written"),
    "output is the root": ((*MAKE, *TOME, "-o", "/"), "ET402", "exists"),
    "output is the model": (("VIT", *TOME, "-o", "VIT", "--force"), "ET402", "is no bundle"),
    "output has a zero byte": ((*MAKE, *TOME, "-o", "o\0ut"), "ET403", "cannot be written"),
    "output has a long name": ((*MAKE, *TOME, "-o", "o" * 300), "ET403", "cannot be written"),
    "empty output": ((*MAKE, *TOME, "-o", ""), "ET003", "output"),
    "output is the working directory": ((*MAKE, *TOME, "-o", "."), "ET402", "working directory"),
    "output has no home": ((*MAKE, *TOME, "-o", "~nobody-of-that-name/out"), "ET403", "cannot be written"),
    # data
    "no data": ((*VIT, "--eval", "nowhere"), "ET113", "nowhere"),
    "no folder": ((*VIT, "--eval", "imagefolder:nowhere"), "ET113", "nowhere"),
    "empty folder": ((*VIT, "--eval", "imagefolder:CORNER/empty"), "ET113", "no pictures"),
    "missing picture": ((*VIT, "--eval", "CORNER/labels"), "ET113", "missing"),
    "broken pictures": ((*VIT, "--eval", "imagefolder:CORNER/broken"), "ET113", "not a picture"),
    "other classes": ((*VIT, "--eval", "imagefolder:CORNER/classes"), "ET113", "do not fit"),
    "samples by another name": ((*MAKE, *TOME, *OUT, "--eval", "shop_models:wrong_names"), "ET113", "no 'x'"),
    "samples of another shape": ((*MAKE, *TOME, *OUT, "--eval", "shop_models:wrong_shapes"), "ET113", "(13, 16)"),
    "samples of other classes": ((*MAKE, *TOME, *OUT, "--eval", "shop_models:wrong_classes"), "ET113", "do not fit"),
    "no such samples": ((*MAKE, *TOME, *OUT, "--eval", "shop_models:sample"), "ET103", "samples"),
    "pictures for a module": ((*MAKE, *TOME, *OUT, "--eval", "imagefolder:CORNER/broken"), "ET113", "preprocessing"),
}


@pytest.mark.parametrize(("arguments", "code", "says"), CASES.values(), ids=CASES)
def test_bad_input(corner, models, line, tree, arguments, code, says):
    places = {"CORNER": str(corner), "VIT": str(models["vit"])}
    places |= {"SWIN": str(models["swin"])} if "SWIN" in arguments else {}
    given = [_placed(argument, places) for argument in arguments]
    before = tree(corner)
    said = line("optimize", *given, "--json", "bench.enabled=false")
    error = said.json["error"]
    assert error["code"] == code, said.err
    assert said.status == error["exit_status"] == FAMILIES[code[2]]
    assert says in said.err
    assert f"{code}: " in said.err
    assert "Traceback" not in said.err
    assert list(line.folder.iterdir()) == []
    assert tree(corner) == before


def _placed(argument, places):
    for name, place in places.items():
        argument = argument.replace(name, place)
    return argument


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime", "onnxscript"])
def test_a_target_without_its_extra_says_the_pip_line(shop, line, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    said = line("optimize", *MAKE, *TOME, *OUT)
    assert said.status == 3
    assert "ET106: " in said.err
    assert f"missing: {missing}" in said.err
    assert "pip install 'edgetok[onnx]'" in said.err
    assert list(line.folder.iterdir()) == []


def test_a_plan_needs_no_runtime(shop, line, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    said = line("optimize", *MAKE, *TOME, "--dry-run")
    assert said.status == 0, said.err
    assert "12 -> 10" in said.out


def test_transformers_missing_says_the_pip_line(models, line, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    said = line("optimize", models["vit"], *TOME, *OUT)
    assert (said.status, said.err.splitlines()[-1].strip()) == (3, "hint: pip install 'edgetok[hf]'")


@pytest.mark.parametrize("command", ["verify", "bench"])
@pytest.mark.parametrize("place", ["nowhere", "CORNER/full", "CORNER/loop", "CORNER/notes.txt"])
def test_what_is_no_bundle(corner, line, command, place):
    said = line(command, _placed(place, {"CORNER": str(corner)}), "--json")
    assert (said.status, said.json["error"]["code"]) == (3, "ET114"), said.err


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_folder_without_write_permission(shop, line):
    closed = line.folder / "closed"
    closed.mkdir(0o555)
    said = line("optimize", *MAKE, *TOME, "-o", "closed/out", "--json")
    assert (said.status, said.json["error"]["code"]) == (6, "ET403")
    assert list(closed.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="no /proc, which is read-only for everybody")
def test_a_read_only_filesystem(shop, line):
    said = line("optimize", *MAKE, *TOME, "-o", "/proc/edgetok/out", "--json")
    assert (said.status, said.json["error"]["code"]) == (6, "ET403")


def test_json_errors_have_all_fields(line):
    error = line("optimize", "nowhere", *TOME, *OUT, "--json").json["error"]
    assert set(error) == {"code", "what", "why", "hint", "exit_status"}
    assert json.dumps(error)
