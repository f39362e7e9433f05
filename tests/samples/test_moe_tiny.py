"""The sample moe_tiny: its text is split for good, its card says what was measured, and its weights measure it."""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys

import numpy as np
import pytest

SOURCES = ("prose", "code", "names", "sums", "records")


@pytest.fixture(scope="module")
def folder(repository):
    return repository / "samples" / "moe_tiny"


@pytest.fixture(scope="module")
def measured(folder):
    return json.loads((folder / "training.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def run(folder):
    """``run("import data; ...", text)``: what a script beside the sample's own prints."""

    def run(source, text=""):
        command = [sys.executable, "-c", source]
        done = subprocess.run(command, cwd=folder, input=text, capture_output=True, text=True, check=True)
        return done.stdout

    return run


def test_the_card_is_rendered_from_the_measurements(folder, run, measured):
    config = (folder / "config.json").read_text(encoding="utf-8")
    source = "import json, sys, card; print(card.render(*map(json.loads, sys.stdin.read().split('\\0'))), end='')"
    rendered = run(source, f"{json.dumps(measured)}\0{config}")
    assert rendered == (folder / "README.md").read_text(encoding="utf-8")


def test_the_weights_are_small_and_plain(folder, measured):
    from safetensors import safe_open

    path = folder / "model.safetensors"
    assert path.stat().st_size < 3_000_000
    with safe_open(path, framework="np") as file:
        slices = [file.get_slice(name) for name in file.keys()]  # noqa: SIM118  it is no mapping
    assert {each.get_dtype() for each in slices} == {"F16"}
    assert sum(int(np.prod(each.get_shape())) for each in slices) == measured["parameters"]


def test_held_out_text_was_not_trained_on(run):
    """Unit by unit: a name is in one split, in whatever order and version of Python; generated questions repeat."""
    source = (
        "import data, json, zlib\n"
        "found = {}\n"
        "for source, units in data.SOURCES.items():\n"
        "    names = [name for name, _ in units()]\n"
        "    held = {name for name in names if zlib.crc32(name.encode()) % data.HELD_OUT_SHARE == 0}\n"
        "    sizes = [len(data.tokens(source, split)) for split in ('train', 'held_out')]\n"
        "    found[source] = [len(names), len(held), *sizes]\n"
        "lines = {s: set(bytes(data.tokens('sums', s)).splitlines()) for s in ('train', 'held_out')}\n"
        "print(json.dumps([found, len(lines['train'] & lines['held_out'])]))\n"
    )
    found, common = json.loads(run(source))
    assert tuple(found) == SOURCES
    assert common == 0
    for units, held, train, held_out in found.values():
        assert 0 < held < units
        assert held_out > 64 * 128  # windows do not overlap
        assert 0.05 < held_out / (train + held_out) < 0.2


def test_files_hold_windows_of_every_source_in_turn(folder, run, tmp_path):
    for out in ("one", "two"):
        command = [sys.executable, str(folder / "data.py"), str(tmp_path / out)]
        subprocess.run(command, check=True, capture_output=True)
    for name, windows in (("held_out.npy", 320), ("calibration.npy", 160)):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
        ids = np.load(tmp_path / "one" / name)
        assert (ids.dtype, ids.shape) == (np.uint8, (windows, 128))
        texts = ["".join(map(chr, np.concatenate(ids[place::5]))) for place in range(5)]
        patterns = ("Changed in version", r"\bdef \w+\(", r"[0-9A-F]{4};[A-Z]", r"\d+ [-+*] \d+ = ", r'"order": \d+')
        for place, pattern in enumerate(patterns):
            assert re.search(pattern, texts[place])


def test_the_text_is_what_was_trained_on(run, measured):
    """Generated text and names in every version of Python; the rest in the one that the card names."""
    found = json.loads(run("import data, json; print(json.dumps(data.digests()))"))
    same = SOURCES if platform.python_version() == measured["versions"]["python"] else ("names", "sums", "records")
    assert {source: found[source] for source in same} == {source: measured["sha256"][source] for source in same}


def test_the_weights_reach_the_stated_perplexity(run, measured):
    source = (
        "import json, torch; torch.set_num_threads(1)\n"
        "from measure import measure; from transformers import MixtralForCausalLM as M\n"
        "print(json.dumps(measure(M.from_pretrained('.', dtype=torch.float32))))\n"
    )
    found = json.loads(run(source).splitlines()[-1])
    same = SOURCES if platform.python_version() == measured["versions"]["python"] else ("names", "sums", "records")
    for name in same:
        assert found["perplexity"][name] == pytest.approx(measured["perplexity"][name], rel=1e-3)
    assert measured["perplexity_all"] < 3


def test_sources_have_experts_of_their_own(measured):
    """In every layer, the experts of one source are fewer than those of all text; alike they would be log2(8) bits."""
    entropy = measured["entropy"]
    layers = len(measured["shares"])
    within = [sum(entropy[source][layer] for source in SOURCES) / len(SOURCES) for layer in range(layers)]
    assert all(mean < whole < 3 for mean, whole in zip(within, entropy["all"], strict=True))


def test_it_is_a_sample_that_loads_by_name():
    from edgetok.sources.load import load_model

    model = load_model("sample:moe_tiny")
    assert {name: tuple(value.shape) for name, value in model.only.inputs.items()} == {"input_ids": (2, 128)}
