"""The browser demo: its own tests pass, and what it is held to is what Pillow and edgetok compute."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess

import numpy as np
import pytest


@pytest.fixture(scope="module")
def web(repository):
    return repository / "mobile_demo" / "web"


@pytest.fixture(scope="module")
def generator(web):
    """The names of the script that writes the vectors."""
    return runpy.run_path(str(web / "test" / "pillow_vectors.py"))


def node_version():
    node = shutil.which("node")
    if node is None:
        return None
    done = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)
    return int(done.stdout.strip().lstrip("v").split(".")[0])


def test_javascript_tests_pass(web):
    version = node_version()
    if version is None or version < 20:
        pytest.skip(f"needs node 20 or later, found {version}")
    done = subprocess.run(["node", "--test", "test/"], cwd=web, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr


def test_vectors_are_what_this_pillow_makes(web, generator):
    assert (web / "test" / "pillow.json").read_text(encoding="utf-8") == generator["text"]()


@pytest.mark.parametrize("number", range(4))
def test_edgetok_preprocesses_like_the_vectors(generator, number):
    from edgetok.evaluate.preprocess import apply
    from edgetok.model import Preprocessing

    settings = generator["SETTINGS"][number]
    image = generator["picture"](11, 14, seed=0)
    found = apply(Preprocessing.model_validate(settings), image)
    assert np.abs(found - generator["preprocessed"](image, settings)).max() <= 1e-6  # one float32 rounding


def test_the_page_reads_the_published_manifest(web):
    """Every key that the app reads exists in the schema that edgetok writes."""
    from edgetok.bundle.manifest import ComponentEntry, FileEntry, Manifest, TensorEntry, Vectors
    from edgetok.model import Preprocessing

    known = set()
    for model in (Manifest, ComponentEntry, FileEntry, TensorEntry, Vectors, Preprocessing):
        known |= {field.alias or name for name, field in model.model_fields.items()}
    text = re.sub(r"//.*", "", (web / "src" / "manifest.mjs").read_text(encoding="utf-8"))
    read = set(re.findall(r"\b(?:manifest|component|input|entry)\??\.(\w+)", text))
    assert len(read) > 8
    assert read - known <= {"find", "filter", "map"}


def test_the_page_allows_the_import_map_that_it_has(web):
    """The content security policy names the hash of the inline import map."""
    import base64
    import hashlib

    page = (web / "index.html").read_text(encoding="utf-8")
    (inline,) = re.findall(r'<script type="importmap">(.*?)</script>', page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in page
    pinned = json.loads((web / "package.json").read_text(encoding="utf-8"))["dependencies"]["onnxruntime-web"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", pinned)
