"""Damaged files under a manifest that fits them: told by a coded error, and never opened in this process."""

import json
from importlib.util import find_spec

import numpy as np
import pytest

from edgetok.bundle import ComponentEntry, Manifest, TensorEntry, Vectors, list_files, write_manifest
from edgetok.bundle.vectors import write_vectors
from edgetok.errors import BadRecipe, BenchRefused, RuntimeFailed
from edgetok.recipe_file import dump_recipe, make_recipe
from edgetok.registry import installed
from edgetok.session import bench_bundle, verify_bundle

NOISE = bytes(range(256)) * 8
SPECIFICATION = "Data/com.apple.CoreML/model.mlmodel"


def write_model(directory, suffix):
    """A file, or a package, that begins as a sound one does and goes on as noise."""
    entry = directory / f"model{suffix}"
    if suffix != ".mlpackage":
        entry.write_bytes((b"\x20\0\0\0ET12" if suffix == ".pte" else b"\x08\x08\x12\x07") + NOISE)
        return
    (entry / SPECIFICATION).parent.mkdir(parents=True)
    (entry / SPECIFICATION).write_bytes(b"\x08\x09" + NOISE)
    item = {"author": "com.apple.CoreML", "name": "model.mlmodel", "path": "com.apple.CoreML/model.mlmodel"}
    listed = {"fileFormatVersion": "1.0.0", "itemInfoEntries": {"m": item}, "rootModelIdentifier": "m"}
    (entry / "Manifest.json").write_text(json.dumps(listed))


@pytest.fixture
def damaged(request, tmp_path):
    """A bundle for a target, whose hashes are right."""
    target = installed().target(request.param)
    if absent := [name for name in target.requires if find_spec(name) is None]:
        pytest.skip(f"needs {', '.join(absent)}")
    exporter = installed().exporter(target.exporter)
    write_model(tmp_path, exporter.suffix)
    x = np.zeros((1, 4), np.float32)
    write_vectors(tmp_path / "vectors.safetensors", {"x": x}, {"y": x})
    (tmp_path / "recipe.yaml").write_text(dump_recipe(make_recipe({"model": "m", "target": target.name})))
    tensor = {"dtype": "float32", "shape": (1, 4)}
    component = ComponentEntry(
        name="m",
        role="encoder",
        file=f"model{exporter.suffix}",
        inputs=(TensorEntry(name="x", **tensor),),
        outputs=(TensorEntry(name="y", **tensor),),
    )
    manifest = Manifest(
        model="m",
        source="m",
        target=target.name,
        exporter=exporter.name,
        runtime=target.runtime,
        components=(component,),
        vectors=Vectors(file="vectors.safetensors", component="m", samples=1, tolerance={"y": 1.0}),
        plan_digest="0" * 64,
        files=list_files(tmp_path),
    )
    write_manifest(tmp_path, manifest)
    return tmp_path


@pytest.fixture
def never_here(monkeypatch):
    """Fails where a file is opened in this process: another one knows nothing of this."""
    for found in installed().exporters.values():
        monkeypatch.setattr(found.value, "load", lambda *a, **k: pytest.fail("opened in this process"))


exhaustive = pytest.mark.exhaustive
SLOW = [pytest.param(name, marks=exhaustive) for name in ("executorch-xnnpack", "executorch-ethos-u", "coreml")]


@pytest.mark.parametrize("damaged", ["onnx-cpu", "onnx-web", "onnx-cuda", *SLOW], indirect=True)
@pytest.mark.usefixtures("never_here")
def test_a_damaged_file_is_tried_elsewhere_and_told(damaged):
    with pytest.raises(RuntimeFailed, match="fresh process"):
        verify_bundle(damaged)


@pytest.mark.parametrize("damaged", ["onnx-cpu", pytest.param("executorch-xnnpack", marks=exhaustive)], indirect=True)
@pytest.mark.usefixtures("never_here")
def test_a_damaged_file_is_timed_elsewhere_and_told(damaged):
    with pytest.raises(RuntimeFailed, match="fresh process"):
        bench_bundle(damaged)


@pytest.mark.parametrize("damaged", ["executorch-ethos-u", "coreml"], indirect=True)
@pytest.mark.usefixtures("never_here")
def test_what_is_simulated_is_refused_without_simulating_it(damaged, monkeypatch):
    monkeypatch.setattr("edgetok.bench.cold.measure_cold", lambda *a, **k: pytest.fail("simulated"))
    monkeypatch.setattr("edgetok.bench.measure_cold", lambda *a, **k: pytest.fail("simulated"))
    with pytest.raises(BenchRefused, match="cannot be timed here"):
        bench_bundle(damaged)


@pytest.mark.parametrize("damaged", ["onnx-cpu"], indirect=True)
@pytest.mark.parametrize("action", [verify_bundle, bench_bundle])
@pytest.mark.parametrize("text", ["model: [unclosed", "- a\n- list\n", "model: m\ntarget: 3: 4\n", "modle: m\n"])
def test_a_recipe_that_does_not_parse_is_named(damaged, action, text):
    (damaged / "recipe.yaml").write_text(text)
    manifest = Manifest.model_validate_json((damaged / "manifest.json").read_bytes())
    write_manifest(damaged, manifest.model_copy(update={"files": list_files(damaged)}))
    with pytest.raises(BadRecipe) as refused:
        action(damaged)
    assert refused.value.code == "ET002"
    assert "recipe.yaml" in refused.value.what


@pytest.mark.parametrize("damaged", ["executorch-vulkan", "executorch-coreml"], indirect=True)
@pytest.mark.usefixtures("never_here")
def test_what_nothing_here_executes_is_not_even_tried(damaged):
    with pytest.raises(BenchRefused, match="cannot be timed here"):
        bench_bundle(damaged)
    with pytest.raises(RuntimeFailed, match="cannot be verified on this machine"):
        verify_bundle(damaged)
