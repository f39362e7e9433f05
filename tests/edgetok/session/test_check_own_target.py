"""Bundles for a target of the user's own: a file, which may be moved or changed after the bundle was made."""

import json

import pytest

import edgetok
from edgetok.errors import BadTarget, UnknownTarget
from edgetok.session import bench_bundle, verify_bundle
from edgetok.testing import zoo
from edgetok_targets import edgetok_targets


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    text = next(path for path in edgetok_targets() if path.stem == "onnx-cpu").read_text()
    path = tmp_path_factory.mktemp("own") / "phone.toml"
    text = text.replace('"onnx-cpu"', '"my-phone"').replace("run here, in", "run on my bench, in")
    path.write_text(f"memory_budget_mb = 0\n{text}")
    return path


@pytest.fixture(scope="module")
def bundle(own):
    component = zoo.transformer_encoder()
    settings = {"bench": {"enabled": False}, "parity": {"samples": 2}, "target": str(own)}
    output = own.parent / "out"
    edgetok.optimize(component.module, component.inputs, plugins="tome:r=4", output=output, **settings)
    return output


@pytest.fixture
def replaced(own):
    """Puts the target's file back afterwards."""
    text = own.read_text()
    yield own
    own.write_text(text)


def test_its_file_is_read_again(bundle):
    assert "run on my bench" in verify_bundle(bundle).how
    assert bench_bundle(bundle, changes={"runs": 3, "batches": (1,)}).timed


def test_the_report_warns_of_what_exceeds_its_memory(bundle):
    notes = json.loads((bundle / "report.json").read_text())["notes"]
    assert any(note.startswith("TOO LARGE for my-phone") for note in notes)


@pytest.mark.parametrize("action", [verify_bundle, bench_bundle])
def test_a_file_that_is_gone_is_said(bundle, replaced, action):
    replaced.unlink()
    with pytest.raises(UnknownTarget, match="my-phone") as caught:
        action(bundle)
    assert str(replaced) in caught.value.why
    assert "target=FILE.toml" in caught.value.hint


def test_a_file_that_describes_another_target_is_refused(bundle, replaced):
    replaced.write_text(replaced.read_text().replace('"my-phone"', '"my-tablet"'))
    with pytest.raises(BadTarget, match="my-phone") as caught:
        verify_bundle(bundle)
    assert "my-tablet" in caught.value.why
