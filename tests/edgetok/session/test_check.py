import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import edgetok
from edgetok.bundle import list_files, read_bundle, write_manifest
from edgetok.errors import BundleNotFound, ParityFailed
from edgetok.session import bench_bundle, verify_bundle
from edgetok.testing import zoo


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    component = zoo.transformer_encoder()
    settings = {"bench": {"enabled": False}, "parity": {"samples": 2}}
    output = tmp_path_factory.mktemp("check") / "out"
    edgetok.optimize(component.module, component.inputs, plugins="tome:r=4", output=output, **settings)
    return output


@pytest.fixture
def bundle(made, tmp_path):
    return shutil.copytree(made, tmp_path / "out")


def rewrite(bundle, change):
    """Change the recorded vectors, and the manifest to go with them."""
    path = bundle / "vectors.safetensors"
    save_file({name: change(name, array) for name, array in load_file(path).items()}, path)
    manifest = read_manifest(bundle)
    roles = {entry.path: entry.role for entry in manifest.files}
    write_manifest(bundle, manifest.model_copy(update={"files": list_files(bundle, roles)}))


def read_manifest(bundle):
    from edgetok.bundle import Manifest

    return Manifest.model_validate_json((bundle / "manifest.json").read_bytes())


def test_a_whole_bundle(bundle):
    found = verify_bundle(bundle)
    assert (found.samples, found.files, found.parity_when_made) == (2, 6, True)
    assert [(output.name, output.max_abs, output.passed) for output in found.outputs] == [("output_0", 0.0, True)]
    assert found.outputs[0].tolerance > 0


@pytest.mark.parametrize("shift", [1e-2, np.nan, np.inf])
def test_outputs_that_are_off_fail(bundle, shift):
    rewrite(bundle, lambda name, array: array + np.float32(shift) if name.startswith("output.") else array)
    with pytest.raises(ParityFailed) as caught:
        verify_bundle(bundle)
    assert "output_0 is off by" in caught.value.why


def test_outputs_of_another_shape_fail(bundle):
    rewrite(bundle, lambda name, array: array[..., :1] if name.startswith("output.") else array)
    with pytest.raises(ParityFailed):
        verify_bundle(bundle)


def test_a_bundle_without_vectors_cannot_be_verified(bundle):
    manifest = read_manifest(bundle)
    write_manifest(bundle, manifest.model_copy(update={"vectors": None}))
    with pytest.raises(BundleNotFound, match="no parity vectors"):
        verify_bundle(bundle)
    with pytest.raises(BundleNotFound, match="no parity vectors"):
        bench_bundle(bundle)


def test_a_foreign_exporter_is_told(bundle):
    text = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps({**text, "exporter": "onxn"}))
    with pytest.raises(edgetok.EdgetokError, match="onxn"):
        verify_bundle(bundle)


def test_bench_takes_the_recipes_settings_unless_told(bundle):
    cost = bench_bundle(bundle, changes={"runs": 3, "batches": (1, 3)})
    assert [timed.batch for timed in cost.timed] == [1, 3]
    assert {timed.runs for timed in cost.timed} == {3}
    assert cost.cold.load_ms > 0
    assert read_bundle(bundle).path == bundle
