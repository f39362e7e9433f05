"""What is in the file: names, lineage, shapes, extra outputs; and what is refused."""

from __future__ import annotations

import onnx
import pytest
import torch
from torch import nn
from torch.fx import traceback

from edgetok.errors import ExportFailed, TargetRefuses
from edgetok.ops import bipartite_match, reduce
from edgetok_exporters.onnx import OnnxExporter, Options


class Merging(nn.Module):
    """Patches, one merge, a head: the shape of a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 8)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 3)
        self.register_buffer("offset", torch.ones(8))

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor]:
        y = self.embed(pixels) + self.offset
        with traceback.annotate({"edgetok": {"module": "merge", "plugin": "tome", "site": "first"}}):
            keep, src, dst = bipartite_match(y, None, 3, 1)
            y = reduce(y, None, keep, src, dst, "mean")
        return (self.head(self.norm(y).mean(1)),)


@pytest.fixture
def program(capture):
    torch.manual_seed(0)
    with traceback.preserve_node_meta():
        return capture(Merging(), {"pixels": torch.randn(2, 11, 6)})


def shapes(values) -> list[list[int | str]]:
    return [[d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in values]


def test_names_and_symbols_are_the_programs(trip, agree, program):
    runner = trip(program)
    model = onnx.load(trip.exported.entry)
    assert runner.input_names == ("pixels",)
    assert runner.output_names == ("out0",)
    assert shapes(model.graph.input) == [["batch", 11, 6]]
    assert shapes(model.graph.output) == [["batch", 3]]
    assert {i.name for i in model.graph.initializer} == set(program.exported.state_dict)
    agree(runner, program, {"pixels": torch.randn(5, 11, 6)}, atol=1e-5)


def test_nodes_say_where_they_came_from_and_nothing_else(trip, program):
    trip(program)
    model = onnx.load(trip.exported.entry)
    found = {p.key: p.value for n in model.graph.node if n.op_type == "TopK" for p in n.metadata_props}
    assert found == {"edgetok.module": "merge", "edgetok.plugin": "tome", "edgetok.site": "first"}
    keys = {p.key for node in model.graph.node for p in node.metadata_props}
    assert all(key.startswith("edgetok.") for key in keys)
    assert not model.metadata_props
    assert ".py" not in trip.exported.entry.read_bytes().decode("latin-1")


@pytest.mark.parametrize("settings", [{}, {"functions": "keep"}, {"dtype": "fp16"}, {"batch": 4}], ids=str)
def test_the_same_program_gives_the_same_bytes(trip, program, settings):
    trip(program, **settings)
    first = trip.exported.entry.read_bytes()
    trip(program, **settings)
    assert trip.exported.entry.read_bytes() == first


@pytest.mark.parametrize("opset", [18, 20, 21, 23, 24])
def test_opsets(trip, agree, program, opset):
    runner = trip(program, opset=opset)
    model = onnx.load(trip.exported.entry)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", opset)]
    onnx.checker.check_model(model, full_check=True)
    agree(runner, program, {"pixels": torch.randn(3, 11, 6)}, atol=1e-5)


def test_a_static_batch_is_static_everywhere(trip, agree, program):
    runner = trip(program, batch=4)
    model = onnx.shape_inference.infer_shapes(onnx.load(trip.exported.entry))
    assert shapes(model.graph.input) == [[4, 11, 6]]
    every = shapes([*model.graph.value_info, *model.graph.output])
    assert all(isinstance(size, int) for shape in every for size in shape)
    assert "Shape" not in {node.op_type for node in model.graph.node}
    agree(runner, program, {"pixels": torch.randn(4, 11, 6)}, atol=1e-5)


def test_a_program_of_another_fixed_batch_is_refused(capture, trip):
    program = capture(Merging(), {"pixels": torch.randn(2, 11, 6)}, dynamic=False)
    trip(program, batch=2)
    with pytest.raises(ExportFailed, match="batch 3"):
        trip(program, batch=3)


@pytest.mark.parametrize("match", ["sort", "sort-free"])
@pytest.mark.parametrize("settings", [{}, {"functions": "keep"}, {"dtype": "fp16"}, {"batch": 2}], ids=str)
def test_exposed_nodes_are_outputs(trip, program, match, settings):
    before = {node.name for node in program.graph.nodes}
    decision = next(n for n in program.graph.nodes if "bipartite_match" in str(n.target))
    linear = next(n for n in program.graph.nodes if "linear" in str(n.target))
    runner = trip(program, expose=[decision.name, linear.name], match=match, **settings)
    exposed = trip.exported.exposed
    assert list(exposed) == [decision.name, linear.name]
    assert runner.output_names == ("out0", *exposed[decision.name], *exposed[linear.name])
    pixels = torch.randn(2, 11, 6)
    values = runner({"pixels": pixels.numpy()})
    module = program.exported.module()
    y = module.embed.weight, module.embed.bias
    expected = nn.functional.linear(pixels, *y)
    tolerance = 1e-2 if settings.get("dtype") == "fp16" else 1e-5
    torch.testing.assert_close(
        torch.from_numpy(values[exposed[linear.name][0]]).float(), expected, rtol=0, atol=tolerance
    )
    keep, src, dst = (torch.from_numpy(values[name]) for name in exposed[decision.name])
    assert [t.dtype for t in (keep, src, dst)] == [torch.int64] * 3
    assert (torch.cat([keep, src], 1).sort(1).values == torch.arange(11)).all()
    assert {node.name for node in program.graph.nodes} == before


def test_exposing_what_does_not_exist_is_refused(trip, program):
    with pytest.raises(ExportFailed, match="nowhere"):
        trip(program, expose=["nowhere"])


def test_outputs_may_be_inputs_or_repeat(capture, trip, agree):
    def odd(x, y):
        z = x + y
        return x, z, z, z * 2

    example = {"x": torch.randn(2, 3), "y": torch.randn(2, 3)}
    program = capture(odd, example)
    agree(trip(program), program, example)
    agree(trip(program, dtype="fp16"), program, example, atol=1e-2)


def test_mixed_dtypes_are_promoted_as_torch_does(capture, trip, agree):
    """Such a program is not translated directly: ``torch.onnx`` traces it again."""
    example = {"x": torch.randn(2, 3), "n": torch.randint(0, 9, (2, 3))}
    program = capture(lambda x, n: (x * n + 0.5, n / 4), example)
    agree(trip(program), program, example, atol=1e-6)


def test_external_data(trip, agree, program):
    runner = trip(program, external_data="always")
    assert [path.name for path in trip.exported.files] == ["model.onnx", "model.onnx.data"]
    assert sum(t.numel() for t in program.exported.state_dict.values()) * 4 <= trip.exported.files[1].stat().st_size
    agree(runner, program, {"pixels": torch.randn(2, 11, 6)}, atol=1e-5)
    trip(program, external_data="never")
    assert len(trip.exported.files) == 1


def test_refusals_name_the_cause(capture, here, tmp_path):
    program = capture(lambda x: (torch.special.i0(x),), {"x": torch.randn(2, 3)})
    with pytest.raises(ExportFailed, match="i0") as caught:
        OnnxExporter().export(program, here(), tmp_path)
    assert caught.value.code == "ET401"
    small = capture(lambda x: (x + 1,), {"x": torch.randn(2, 3)})
    fp32_only = here().model_copy(update={"dtypes": ("fp32",)})
    with pytest.raises(TargetRefuses, match="fp16"):
        OnnxExporter().export(small, fp32_only, tmp_path, options=Options(dtype="fp16"))
    with pytest.raises(ExportFailed, match="file name"):
        OnnxExporter().export(small, here(), tmp_path, stem="../model")
    assert not list(tmp_path.iterdir())
