"""What cannot be is said before calibration, rewritten weights and exports, in a dry run as well."""

from __future__ import annotations

import pytest

from edgetok.errors import EdgetokError
from edgetok.recipe_file import make_recipe, parse_override
from edgetok.registry import installed
from edgetok.session import deliver, optimise, optimize
from edgetok.session.prepare import find_tools
from edgetok.session.refusals import may_refuse

MODEL = "edgetok.testing.zoo:transformer_encoder"
LATE = {deliver: ("find_calibration", "rewrite_weights", "build_variants"), optimise: ("with_weights",)}


@pytest.fixture
def late(monkeypatch):
    """The names of all late work that was begun."""
    begun = []

    def watch(owner, name):
        real = getattr(owner, name)

        def watched(*args, **kwargs):
            begun.append(name)
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, watched)

    for module, names in LATE.items():
        for name in names:
            watch(module, name)
    for exporter in ("onnx", "executorch", "coreml"):
        watch(type(installed().exporter(exporter)), "export")
    return begun


CASES = {
    "dtype": ("onnx-web", "tome:r=2", {"dtype": "fp16"}, 4, ["onnx-web", "fp16", "exporter.dtype"]),
    "dynamic": ("onnx-qnn", "tome:r=2", {"batch": "dynamic"}, 6, ["onnx-qnn", "static", "exporter.batch"]),
    "context": ("onnx-cpu", "tome:r=2", {"context": True}, 6, ["onnx-cpu", "exporter.context"]),
    "scheme": ("cpu", "tome:r=2,quantize:weights=int8", {}, 4, ["cpu", "quantize", "no quantised model"]),
    "half": ("onnx-cpu", "quantize:weights=int8", {"dtype": "fp16"}, 4, ["onnx-cpu", "int8", "exporter.dtype"]),
    "nowhere": (
        "onnx-cpu",
        "quantize:weights=int4,group=48",
        {},
        4,
        ["quantize", "'group': 48", "check skip and group"],
    ),
    "kernels": ("executorch-xnnpack", "quantize:weights=int4,group=16", {}, 4, ["XNNPACK", "16", "quantize:group=32"]),
    "shapes": ("coreml", "tome:r=2", {"shapes": "enumerated"}, 4, ["enumerated", "batches=2,4"]),
    "functions": ("coreml-ios17", "tome:r=2", {"batches": "2"}, 4, ["iOS 17", "minimum_deployment"]),
}


LOADED = {"half": True, "kernels": False, "nowhere": False}
"""Those for which the model is captured, and whether in a dry run: the way is the same, and takes a second."""


@pytest.mark.parametrize(
    ("case", "dry_run"), [(case, dry) for case in CASES for dry in (True, False) if LOADED.get(case, dry) == dry]
)
def test_it_is_refused_early_and_names_target_and_option(case, dry_run, late, tmp_path):
    target, plugins, exporter, status, named = CASES[case]
    recipe = {"model": MODEL, "plugins": plugins, "target": target, "exporter": exporter}
    with pytest.raises(EdgetokError) as refused:
        optimize(make_recipe({**recipe, "output": str(tmp_path / "out")}), dry_run=dry_run)
    error = refused.value
    said = f"{error.what} {error.why} {error.hint}"
    assert (error.exit_status, [word for word in named if word not in said]) == (status, []), said
    assert error.code
    assert late == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("text", "kept"), [("2", (2,)), ("2,4", (2, 4)), ("[2]", (2,)), ("[2,4]", (2, 4))])
def test_sizes_are_given_in_every_way_that_people_write(text, kept):
    """As ``exporter.batches=...`` on the command line, and in recipes that were made of it."""
    recipe = make_recipe({"model": MODEL, "target": "coreml"}, dict([parse_override(f"exporter.batches={text}")]))
    again = make_recipe(recipe.model_dump(mode="json"))
    assert find_tools(again).options.model_dump()["batches"] == kept


def test_an_operation_that_the_target_cannot_run_is_named_before_any_work(late, tmp_path):
    text = installed().target("onnx-cpu").model_dump(include={"summary", "exporter", "runtime"})
    lines = [f'{key} = "{value}"' for key, value in {"name": "picky", **text}.items()]
    lines += ["[ops]", 'source = "a test"', 'default = "native"', 'unsupported = ["gelu", "relu"]']
    path = tmp_path / "picky.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    recipe = {"model": MODEL, "plugins": "tome:r=2", "target": str(path), "output": str(tmp_path / "out")}
    recipe["parity"] = {"allow_failure": True}
    with pytest.raises(EdgetokError, match="picky") as refused:
        optimize(make_recipe(recipe))
    assert refused.value.exit_status == 4
    assert "lu of model" in refused.value.why
    assert "targets check" in refused.value.hint
    assert late == []
    assert list(tmp_path.iterdir()) == [path]


def test_the_program_is_lowered_early_only_where_the_table_can_refuse():
    assert may_refuse(installed().target("executorch-xnnpack"))
    assert not may_refuse(installed().target("onnx-cpu"))
