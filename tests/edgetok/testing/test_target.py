"""The kit for targets catches what a TOML file can get wrong."""

from __future__ import annotations

import pytest

from edgetok.errors import BadOption, UnknownExporter
from edgetok.testing import TargetConformance

RIGHT = {
    "name": '"a-phone"',
    "summary": '"ONNX on a phone"',
    "exporter": '"onnx"',
    "runtime": '"onnxruntime"',
    "requires": '["onnx", "onnxruntime"]',
    "extra": '"onnx"',
}
WORDS = "test_words_are_there"
EXPORTER = "test_exporter_is_installed_and_takes_its_options"
NAMES = "test_names_are_unique"
PACKAGES = "test_packages_come_with_its_extra"


def run(folder, check, **changes):
    fields = {**RIGHT, **changes}
    path = folder / "target.toml"
    path.write_text("".join(f"{key} = {value}\n" for key, value in fields.items()), encoding="utf-8")
    kit = type("Kit", (TargetConformance,), {"target": str(path)})()
    getattr(kit, check)()


@pytest.mark.parametrize("check", [WORDS, EXPORTER, NAMES, PACKAGES])
def test_a_right_target_passes(tmp_path, check):
    run(tmp_path, check)


@pytest.mark.parametrize(
    ("check", "changes", "words"),
    [
        (WORDS, {"name": '"A_Phone"'}, "kebab-case"),
        (WORDS, {"aliases": '["My Phone"]'}, "kebab-case"),
        (WORDS, {"summary": '"phone"'}, "too little"),
        (WORDS, {"runtime": '""'}, "name the runtime"),
        (NAMES, {"name": '"onnx-cpu"'}, "onnx-cpu"),
        (NAMES, {"aliases": '["onnx"]'}, "onnx"),
        (PACKAGES, {"extra": '"phone"'}, "no extra 'phone'"),
        (PACKAGES, {"requires": '["onnx", "torchvision"]'}, "the extra brings"),
        (PACKAGES, {"requires": '["onnx>=1.18"]'}, "import names"),
    ],
)
def test_a_wrong_target_is_caught(tmp_path, check, changes, words):
    with pytest.raises(AssertionError, match=words):
        run(tmp_path, check, **changes)


def test_an_exporter_must_exist_and_take_the_options(tmp_path):
    with pytest.raises(UnknownExporter):
        run(tmp_path, EXPORTER, exporter='"onnxx"')
    with pytest.raises(BadOption):
        run(tmp_path, EXPORTER, options="{ opsett = 20 }")
