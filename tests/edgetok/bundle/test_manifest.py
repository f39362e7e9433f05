import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edgetok.bundle.manifest import FileEntry, Manifest

HASH = "0" * 64


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "/etc/passwd",
        "a/../../x",
        "a//b",
        "./a",
        "a/",
        "",
        "C:/x",
        "a\\b",
        "a\0b",
        "\\\\host\\x",
        "con:x",
        "a/.",
    ],
)
def test_paths_that_could_leave_the_bundle_are_refused(path):
    with pytest.raises(ValidationError):
        FileEntry(path=path, sha256=HASH, bytes=0)


@given(st.text(max_size=20))
def test_any_accepted_path_stays_inside(tmp_path_factory, text):
    try:
        entry = FileEntry(path=text, sha256=HASH, bytes=0)
    except ValidationError:
        return
    root = tmp_path_factory.getbasetemp()
    assert (root / entry.path).resolve().is_relative_to(root.resolve())
    assert entry.path == text


def test_a_manifest_survives_json_with_its_schema(tmp_path, fill):
    manifest = fill(tmp_path)
    text = manifest.model_dump_json(by_alias=True)
    assert '"schema":"edgetok.manifest/1"' in text
    assert Manifest.model_validate_json(text) == manifest
    assert manifest.component("model").file == "model.onnx"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema": "edgetok.manifest/2"}, "edgetok.manifest/1"),
        ({"files": []}, "not listed in files"),
        ({"components": []}, "at least 1"),
        ({"surprise": 1}, "Extra inputs"),
    ],
)
def test_what_does_not_hold_together_is_refused(tmp_path, fill, change, says):
    data = fill(tmp_path).model_dump(mode="json", by_alias=True)
    with pytest.raises(ValidationError, match=says):
        Manifest.model_validate({**data, **change})


def test_a_path_listed_twice_is_refused_also_where_case_is_ignored(tmp_path, fill):
    data = fill(tmp_path).model_dump(mode="json", by_alias=True)
    for again in ("model.onnx", "MODEL.onnx", "Manifest.json"):
        with pytest.raises(ValidationError, match="listed once"):
            Manifest.model_validate({**data, "files": [*data["files"], {"path": again, "sha256": HASH, "bytes": 0}]})
