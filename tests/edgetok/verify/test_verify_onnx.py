"""The gate on real files: the ONNX exporter and onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgetok import ops
from edgetok.errors import ParityFailed
from edgetok.target import Realisations, Target
from edgetok.verify import Delivery, verify
from edgetok.verify.checkbuild import Toolchain

onnx = pytest.importorskip("onnx", reason="needs the onnx extra")
pytest.importorskip("onnxruntime", reason="needs the onnx extra")


class Encoder(torch.nn.Module):
    """Two merging blocks over 17 tokens, sizes carried along, tokens restored."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.key = torch.nn.ModuleList([torch.nn.Linear(8, 8) for _ in range(2)])
        self.mlp = torch.nn.ModuleList([torch.nn.Linear(8, 8) for _ in range(2)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, sizes = x.shape[1], torch.ones_like(x[..., 0])
        dest = None
        for key, mlp in zip(self.key, self.mlp, strict=True):
            chosen = ops.bipartite_match(key(x), None, 4, 1)
            step = ops.destinations(*chosen, x.shape[1])
            dest = step if dest is None else ops.compose(dest, step)
            x = ops.reduce(x, sizes, *chosen)
            sizes = ops.reduce(sizes.unsqueeze(-1), None, *chosen, "sum").squeeze(-1)
            x = x + torch.nn.functional.gelu(mlp(x))
        assert n == 17
        return ops.restore(x, dest)


def toolchain(match: str, reduce: str, dtype: str) -> Toolchain:
    from edgetok_exporters.onnx import OnnxExporter

    realisations = Realisations(match=match, reduce=reduce)  # type: ignore[arg-type]
    target = Target(
        name="t", summary="t", exporter="onnx", runtime="ort", realisations=realisations, dtypes=("fp32", "fp16")
    )
    return Toolchain(OnnxExporter(), target, OnnxExporter.Options(dtype=dtype), threads=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
@pytest.mark.parametrize(("match", "reduce"), [("sort", "gather"), ("sort-free", "one-hot")])
def test_real_files_pass(lab: Any, tmp_path: Path, match: str, reduce: str, dtype: str) -> None:
    generator = torch.Generator().manual_seed(3)
    program = lab.program_of(Encoder(), torch.randn(2, 17, 8, generator=generator), outputs=["tokens"])
    tools = toolchain(match, reduce, dtype)
    made = tools.exporter.export(program, tools.target, tmp_path, options=tools.options)
    delivery = Delivery(program, tools.exporter.load(made.entry, threads=1))
    batches = [{"x": torch.randn(b, 17, 8, generator=generator).numpy()} for b in (1, 5)]
    parity = verify(delivery, tools, batches, dtype=dtype, scratch=tmp_path)  # type: ignore[arg-type]
    assert parity.passed
    assert parity.n == 6
    assert len(parity.decisions.sites) == 2
    if dtype == "fp16":
        with pytest.raises(ParityFailed, match=r"first diverging module: (key|mlp)\.0"):
            verify(delivery, tools, batches, dtype="fp32", scratch=tmp_path)


def test_a_file_with_other_weights_fails(lab: Any, tmp_path: Path) -> None:
    program = lab.program_of(Encoder(), torch.randn(2, 17, 8), outputs=["tokens"])
    tools = toolchain("sort", "gather", "fp32")
    made = tools.exporter.export(program, tools.target, tmp_path, options=tools.options)
    model = onnx.load(made.entry)
    weight = next(w for w in model.graph.initializer if w.name == "mlp.1.weight")
    weight.raw_data = (onnx.numpy_helper.to_array(weight) * np.float32(1.001)).tobytes()
    onnx.save(model, made.entry)
    delivery = Delivery(program, tools.exporter.load(made.entry, threads=1))
    with pytest.raises(ParityFailed, match="against the check build"):
        verify(delivery, tools, [{"x": np.ones((2, 17, 8), np.float32)}], scratch=tmp_path)
