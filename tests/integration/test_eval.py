"""Task accuracy of both models on the same samples, from folders and from Python."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

import edgetok
from edgetok.evaluate.images import open_image
from edgetok.evaluate.preprocess import apply

FLAGS = ("-p", "tome:r=6", "-o", "out", "--no-bench", "parity.samples=4", "--json")


def predictions(bundle, preprocessing, files):
    session = onnxruntime.InferenceSession(bundle / "model.onnx")
    pictures = np.stack([apply(preprocessing, open_image(path)) for path in files])
    return session.run(None, {"pixel_values": pictures})[0].argmax(1)


def test_imagefolder(models, pictures, line):
    said = line("optimize", models["vit"], *FLAGS, "--eval", f"imagefolder:{pictures}")
    assert said.status == 0, said.err
    accuracy, parity = said.json["report"]["accuracy"], said.json["report"]["parity"]
    files = sorted(pictures.glob("*/*.png"))
    bundle = edgetok.bundle.read_bundle(line.folder / "out")
    found = predictions(bundle.path, bundle.manifest.preprocessing, files)
    assert accuracy["n"] == 14
    assert accuracy["optimized"] == pytest.approx(100 * np.mean(found == [int(f.parent.name) for f in files]))
    assert accuracy["drop"] == pytest.approx(accuracy["dense"] - accuracy["optimized"])
    low, high = accuracy["ci95"]
    assert low <= accuracy["drop"] <= high
    assert accuracy["kl_mean"] > 0
    assert parity["inputs"] == "real"
    assert said.json["report"]["preprocessing"]["size"] == [40, 40]


def test_a_table_of_labels_with_a_limit(models, pictures, line):
    rows = [f"{path.relative_to(pictures)}\t{path.parent.name}" for path in sorted(pictures.glob("*/0.png"))]
    folder = line.folder / "data"
    folder.symlink_to(pictures)
    (pictures / "labels.tsv").write_text("\n".join(rows) + "\n")
    said = line("optimize", models["vit"], *FLAGS, "--eval", "data", "--limit", "5")
    assert said.status == 0, said.err
    assert said.json["report"]["accuracy"]["n"] == 5
    assert said.json["report"]["recipe"]["eval"]["data"] == str(pictures.resolve())


@pytest.mark.parametrize("exporter", [[], ["exporter.batch=4"]], ids=["dynamic", "batch of 4"])
def test_one_picture_is_enough(models, pictures, line, exporter):
    said = line("optimize", models["vit"], *FLAGS, "--eval", f"imagefolder:{pictures}", "--limit", "1", *exporter)
    assert said.status == 0, said.err
    assert said.json["report"]["accuracy"]["n"] == 1
    assert said.json["report"]["parity"]["inputs"] == "real"


def test_samples_named_on_the_command_line(shop, line):
    said = line("optimize", "shop_models:make", *FLAGS, "plugins.tome.r=2", "--eval", "shop_models:samples")
    assert said.status == 0, said.err
    assert said.json["report"]["accuracy"]["n"] == 10


FURTHER = [pytest.param(kind, marks=pytest.mark.exhaustive) for kind in ("callable", "list")]
"""``tests/edgetok/evaluate/test_dataset.py`` reads all kinds."""


@pytest.mark.parametrize("kind", ["generator", *FURTHER])
def test_samples_from_python(tmp_path, tiny, kind):
    random = np.random.default_rng(0)
    samples = [({"x": random.standard_normal((12, 16))}, i % 3) for i in range(6)]  # float64, as numpy makes them
    given = {"callable": lambda: samples, "list": samples, "generator": (pair for pair in samples)}[kind]
    result = edgetok.optimize(
        *tiny(), plugins="tome:r=2", output=tmp_path / "out", eval=given, bench={"enabled": False}
    )
    assert result.report.accuracy.n == 6
    assert result.report.parity.inputs == "real"
    assert result.report.accuracy.top1_agreement is not None


def test_a_model_without_classes_cannot_be_evaluated(models, pictures, line):
    said = line("optimize", models["dinov2"], *FLAGS, "--eval", f"imagefolder:{pictures}")
    assert (said.status, said.json["error"]["code"]) == (3, "ET115")
    assert "no class scores" in said.err
    assert list(line.folder.iterdir()) == []
