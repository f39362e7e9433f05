"""The kit for exporters catches broken ones: a right exporter with one promise taken away each time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import BaseModel

from edgetok.registry import installed
from edgetok.testing import ExporterConformance

pytest.importorskip("onnxruntime", reason="the right exporter here is the ONNX one")

Onnx = installed().exporters["onnx"].value


class Riddle(BaseModel):
    """Says nothing."""

    level: int = 3


class NoDot(Onnx):
    suffix = "onnx"


class Riddles(Onnx):
    Options = Riddle


class LeavesCrumbs(Onnx):
    def export(self, program, target, directory, **keywords):
        (directory.parent / "crumb.txt").write_text("here")
        return super().export(program, target, directory, **keywords)


class ForgetsTheStem(Onnx):
    def export(self, program, target, directory, *, stem="model", **keywords):
        return super().export(program, target, directory, **keywords)


class Swaps(Onnx):
    """The file of another program: the dense one's weights, halved."""

    def load(self, entry, *, threads=None):
        runner = super().load(entry, threads=threads)

        class Halved:
            input_names, output_names = runner.input_names, runner.output_names

            def __call__(self, inputs):
                return {name: array / 2 for name, array in runner(inputs).items()}

        return Halved()


class Renames(Onnx):
    def load(self, entry, *, threads=None):
        runner = super().load(entry, threads=threads)
        runner.output_names = tuple(f"y_{name}" for name in runner.output_names)
        return runner


class MarksNodes(Onnx):
    def export(self, program, target, directory, **keywords):
        for node in program.graph.nodes:
            node.meta["seen"] = True
        return super().export(program, target, directory, **keywords)


class ExposesNothing(Onnx):
    def export(self, program, target, directory, *, expose=(), **keywords):
        exported = super().export(program, target, directory, **keywords)
        return replace(exported, exposed={name: (name,) for name in expose})


def kit(exporter):
    attributes = {"exporter": "onnx", "target": "onnx-cpu", "_exporter": lambda self: exporter()}
    return type("Kit", (ExporterConformance,), attributes)()


SAME = ("test_dense_file_computes_the_same", ())
BROKEN = {
    "has no dot in its suffix": (NoDot, "test_class_is_complete", ()),
    "has riddles for options": (Riddles, "test_options_are_documented", ()),
    "takes any option": (Riddles, "test_unknown_option_is_refused", ()),
    "leaves files elsewhere": (LeavesCrumbs, "test_files_stay_in_their_directory", ()),
    "ignores the stem": (ForgetsTheStem, "test_files_stay_in_their_directory", ()),
    "computes something else": (Swaps, *SAME),
    "renames outputs": (Renames, *SAME),
    "changes the program": (MarksNodes, "test_program_is_left_alone", ()),
    "ignores what to expose": (ExposesNothing, "test_merged_check_build_computes_the_same", ()),
}


@pytest.mark.parametrize("defect", BROKEN)
def test_a_broken_exporter_is_caught(defect):
    exporter, check, arguments = BROKEN[defect]
    with pytest.raises((AssertionError, KeyError, pytest.fail.Exception)):
        getattr(kit(exporter), check)(*arguments)


@pytest.mark.parametrize("check", sorted({(check, arguments) for _, check, arguments in BROKEN.values()}, key=str))
def test_the_right_exporter_passes(check):
    name, arguments = check
    getattr(kit(Onnx), name)(*arguments)
