"""Qualcomm's HTP in its emulator: whole graphs, merges included, in one piece, and close to the CPU."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import helper, numpy_helper
from torch.fx import traceback
from transformers import ViTConfig, ViTForImageClassification

from edgetok.errors import ExportFailed, MissingExtra, TargetRefuses
from edgetok.graph import capture as capture_model
from edgetok.graph import find_sites, rewrite
from edgetok.ops import bipartite_match, reduce
from edgetok.plan import make_plan, steps_of
from edgetok.precision import Precision
from edgetok.registry import installed
from edgetok.target import Realisations
from edgetok.testing.zoo import component
from edgetok_exporters.onnx import OnnxExporter, Options, device
from edgetok_plugins.quantize.weights import formats

needs_qnn = pytest.mark.skipif(find_spec("onnxruntime_qnn") is None, reason="onnxruntime-qnn is not installed")
STATIC = {"batch": 1, "opset": 21}


@pytest.fixture(scope="module")
def target():
    return installed().target("onnx-qnn")


@pytest.fixture(scope="module")
def pixels():
    return {"pixel_values": torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(2)).numpy()}


@pytest.fixture(scope="module")
def merged():
    """A ViT of two layers, 65 tokens, of which 6 are merged per layer."""
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128, image_size=64, patch_size=8,
        num_labels=10, hidden_act="gelu",
    )  # fmt: skip
    model = ViTForImageClassification(config).eval()
    with traceback.preserve_node_meta():
        program = capture_model(component("vit", model, {"pixel_values": torch.randn(2, 3, 64, 64)}))
    plugins = [installed().plugin("tome", {"r": 6})]
    sites = find_sites(program)
    return rewrite(
        program, steps_of(make_plan(program, sites, plugins, installed().target("onnx-cpu")), sites, plugins)
    )


@pytest.fixture(scope="module")
def quantised(merged, pixels):
    noise = torch.Generator().manual_seed(3)
    more = [{"pixel_values": torch.randn(1, 3, 64, 64, generator=noise).numpy()} for _ in range(7)]
    return replace(merged, precision=Precision("int8-static", formats(merged, "int8", 32, ()), (pixels, *more)))


@pytest.fixture(scope="module")
def floating_file(merged, target, tmp_path_factory):
    return OnnxExporter().export(merged, target, tmp_path_factory.mktemp("float"))


@pytest.fixture(scope="module")
def quantised_file(quantised, target, tmp_path_factory):
    return OnnxExporter().export(quantised, target, tmp_path_factory.mktemp("int8"))


@pytest.fixture(scope="module")
def expected(merged, pixels, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cpu")
    made = OnnxExporter().export(merged, installed().target("onnx-cpu"), folder)
    return OnnxExporter().load(made.entry, threads=1)(pixels)["logits"]


def decibels(found, reference):
    return 10 * np.log10((reference**2).sum() / ((found - reference) ** 2).sum())


@needs_qnn
def test_a_merged_model_in_floating_point_is_one_piece(floating_file, expected, pixels):
    placed = floating_file.delegation
    assert (placed.delegate, placed.partitions, dict(placed.outside)) == ("qnn-htp", 1, {})
    assert placed.inside > 200
    found = OnnxExporter().load(floating_file.entry, threads=1)(pixels)["logits"]
    assert decibels(found, expected) > 40


@needs_qnn
def test_a_quantised_merged_model_is_one_piece(quantised, quantised_file, expected, pixels):
    """The match between Q/DQ pairs stays in floating point, on the HTP: only the ends are converted on the CPU."""
    placed = quantised_file.delegation
    assert placed.partitions == 1
    assert set(placed.outside) <= {"QuantizeLinear", "DequantizeLinear"}
    floats = {
        i.name for i in onnx.load(quantised_file.entry).graph.initializer if i.data_type == onnx.TensorProto.FLOAT
    }
    assert not floats & {*quantised.precision.weights, *(f"{name}.T" for name in quantised.precision.weights)}
    found = OnnxExporter().load(quantised_file.entry, threads=1)(pixels)["logits"]
    assert decibels(found, expected) > 20


@needs_qnn
def test_what_a_plugin_inserted_is_not_quantised(quantised_file):
    graph = onnx.load(quantised_file.entry).graph
    made = {name: node for node in graph.node for name in node.output}
    inserted = [n for n in graph.node if any(p.key == "edgetok.plugin" for p in n.metadata_props)]
    pairs = [n for n in graph.node if n.op_type == "QuantizeLinear"]
    assert inserted
    assert pairs
    assert not [q.name for q in pairs if made.get(q.input[0]) in inserted and all_inserted(graph, q, inserted)]


@needs_qnn
def test_the_sizes_of_tokens_reach_attention(quantised, target, pixels, tmp_path):
    """The logarithm of a 16-bit Q/DQ zone is 0 on the HTP: merged tokens then weigh as much as single ones."""
    log = next(node.name for node in quantised.graph.nodes if node.target == torch.ops.aten.log.default)
    made = OnnxExporter().export(quantised, target, tmp_path, expose=[log])
    (name,) = made.exposed[log]
    sizes = np.exp(OnnxExporter().load(made.entry, threads=1)(pixels)[name])
    np.testing.assert_allclose(sizes, sizes.round(), rtol=0, atol=2e-2)
    assert sizes.sum() == pytest.approx(65, abs=0.2)
    assert sizes.max() > 1.5


@needs_qnn
@pytest.mark.parametrize(("largest", "works"), [(2.0, False), (4.0, True)])
def test_the_logarithm_that_is_lost(tmp_path, largest, works):
    """The smallest graph of that trap: when both compute well, logarithms may be quantised again."""
    from edgetok_exporters.onnx.htp import _options

    x = np.array([[1, 2, 3, 2]], np.float32)
    scales = {"in": 4 / 65535, "out": largest / 65535}
    weights = [numpy_helper.from_array(np.float32(value), name) for name, value in scales.items()]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "in", "zero"], ["a"], domain="com.microsoft"),
        helper.make_node("DequantizeLinear", ["a", "in", "zero"], ["b"], domain="com.microsoft"),
        helper.make_node("Log", ["b"], ["c"]),
        helper.make_node("QuantizeLinear", ["c", "out", "zero"], ["d"], domain="com.microsoft"),
        helper.make_node("DequantizeLinear", ["d", "out", "zero"], ["y"], domain="com.microsoft"),
    ]
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, x.shape) for name in "xy"]
    weights.append(numpy_helper.from_array(np.uint16(0), "zero"))
    graph = helper.make_graph(nodes, "log", ends[:1], ends[1:], weights)
    domains = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=domains, ir_version=9), tmp_path / "log.onnx")
    (found,) = ort.InferenceSession(str(tmp_path / "log.onnx"), _options(43)).run(None, {"x": x})
    np.testing.assert_allclose(found, np.log(x) if works else np.zeros_like(x), atol=1e-3)


def all_inserted(graph, pair, inserted):
    """Whether everything that reads a Q/DQ pair was inserted."""
    widened = [n for n in graph.node if pair.output[0] in n.input]
    readers = [n for wide in widened for n in graph.node if set(wide.output) & set(n.input)]
    return bool(readers) and all(n in inserted for n in readers)


@needs_qnn
def test_an_unknown_soc_has_no_floating_point(capture, target, tmp_path):
    """Why float and merged graphs once failed to finalise: the default SoC. The compiler's own words are shown."""
    gelu = torch.nn.functional.gelu
    program = capture(lambda x: (gelu(gelu(gelu(x))),), {"x": torch.randn(1, 3, 8)}, dynamic=False)
    with pytest.raises(ExportFailed, match="SoC 0") as caught:
        OnnxExporter().export(program, target, tmp_path, options=Options(soc=0, **STATIC))
    assert "finalize" in caught.value.why
    assert "in floating point, refused by itself" in caught.value.why
    assert "exporter.soc" in caught.value.hint


@needs_qnn
def test_gathers_cut_the_graph_and_are_named(merged, target, tmp_path):
    """Why the target asks for one-hot products."""
    gathering = target.model_copy(update={"realisations": Realisations(match="sort", reduce="gather")})
    placed = OnnxExporter().export(merged, gathering, tmp_path).delegation
    assert placed.partitions > 2
    assert {"GatherND", "ScatterElements"} <= set(placed.outside)


@needs_qnn
def test_a_context_binary_computes_the_same(quantised, quantised_file, target, pixels, tmp_path):
    made = OnnxExporter().export(quantised, target, tmp_path, options=Options(context=True, **STATIC))
    assert "EPContext" in {node.op_type for node in onnx.load(made.entry).graph.node}
    assert [path.name for path in made.files] == ["model.onnx"]
    found, graph = (OnnxExporter().load(f.entry, threads=1)(pixels)["logits"] for f in (made, quantised_file))
    assert decibels(found, graph) > 40


@needs_qnn
def test_stdout_stays_ours(floating_file):
    """Qualcomm's library greets on stdout, which carries the figures of the processes that measure."""
    ask = (
        "import sys; from pathlib import Path; from edgetok_exporters.onnx import OnnxExporter;"
        "OnnxExporter().load(Path(sys.argv[1])); print('ours')"
    )
    command = [sys.executable, "-c", ask, str(floating_file.entry)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "ours\n"


@needs_qnn
def test_the_same_program_gives_the_same_bytes(quantised, quantised_file, target, tmp_path):
    again = OnnxExporter().export(quantised, target, tmp_path)
    assert again.entry.read_bytes() == quantised_file.entry.read_bytes()


def test_more_tokens_than_fp16_can_count_are_refused(capture, target, tmp_path):
    """Ids are numbers there, and fp16 counts to 2048."""

    def drop(x):
        keep, src, dst = bipartite_match(x, None, 8, 1)
        return (reduce(x, None, keep, src, dst, "mean"),)

    program = capture(drop, {"x": torch.randn(1, 2050, 4)}, dynamic=False)
    with pytest.raises(TargetRefuses, match="2050"):
        OnnxExporter().export(program, target, tmp_path)


@pytest.mark.parametrize(
    ("options", "why"),
    [({"batch": "dynamic"}, "static"), ({"batch": 1, "format": "ort"}, "format")],
    ids=["dynamic", "ort"],
)
def test_what_it_cannot_be_is_refused(merged, target, tmp_path, options, why):
    with pytest.raises(ExportFailed) as caught:
        OnnxExporter().export(merged, target, tmp_path, options=Options(**options))
    assert why in caught.value.why
    assert not list(tmp_path.iterdir())


def test_other_schemes_are_refused(merged, target, tmp_path):
    declared = replace(merged, precision=Precision("int8-dynamic", formats(merged, "int8", 32, ())))
    with pytest.raises(TargetRefuses, match="onnx-qnn"):
        OnnxExporter().export(declared, target, tmp_path)


def test_a_context_is_for_the_htp(merged, here, tmp_path):
    with pytest.raises(ExportFailed) as caught:
        OnnxExporter().export(merged, here(), tmp_path, options=Options(context=True, **STATIC))
    assert "onnx-qnn" in caught.value.why


def test_without_its_package_a_file_says_what_to_install(merged, target, tmp_path, monkeypatch):
    monkeypatch.setattr(device, "find_spec", lambda name: None)
    monkeypatch.setattr("edgetok_exporters.onnx.delegation.find_spec", lambda name: None)
    made = OnnxExporter().export(merged, target, tmp_path)
    assert made.delegation is None
    with pytest.raises(MissingExtra) as caught:
        OnnxExporter().load(made.entry)
    assert "onnxruntime-qnn" in caught.value.hint
