"""A merged model in onnxruntime-web's WebAssembly build, through node: the same values as here.

Needs node, and onnxruntime-web where ``NODE_PATH`` leads: ``npm install onnxruntime-web``.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgetok.graph import capture
from edgetok.model import Component
from edgetok.ops import bipartite_match, reduce
from edgetok.precision import Precision
from edgetok.registry import installed
from edgetok_exporters.onnx import OnnxExporter, Options
from edgetok_plugins.quantize.weights import formats

RUN = """
const ort = require('onnxruntime-web'), fs = require('fs');
ort.env.wasm.numThreads = 1;
const [model, input, dims] = process.argv.slice(1);
(async () => {
  const options = {executionProviders: ['wasm'], graphOptimizationLevel: 'all'};
  const session = await ort.InferenceSession.create(new Uint8Array(fs.readFileSync(model)), options);
  const bytes = fs.readFileSync(input);
  const x = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  const found = await session.run({[session.inputNames[0]]: new ort.Tensor('float32', x, JSON.parse(dims))});
  console.log(JSON.stringify(Array.from(found[session.outputNames[0]].data)));
})();
"""


def why_not() -> str:
    if shutil.which("node") is None:
        return "node is not installed"
    asked = subprocess.run(["node", "-e", "require.resolve('onnxruntime-web')"], capture_output=True, check=False)
    return "" if asked.returncode == 0 else "node finds no onnxruntime-web: npm install it and set NODE_PATH"


pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")


class Merging(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.up, self.head = nn.Linear(32, 64), nn.Linear(64, 64), nn.Linear(64, 5)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        y = self.embed(x)
        keep, src, dst = bipartite_match(y, None, 5, 1)
        y = reduce(y, None, keep, src, dst, "mean")
        return (self.head(F.gelu(self.up(y))),)


def with_pairs(x: torch.Tensor) -> torch.Tensor:
    """The same with five even tokens nearly equal to the odd ones after them: no rounding changes what merges."""
    return x.index_copy(1, torch.arange(2, 12, 2), x[:, 3:13:2] + 0.01 * x[:, 2:12:2])


@pytest.mark.parametrize(
    ("scheme", "options"),
    [(None, {}), (None, {"format": "ort"}), ("int8-weights", {}), ("int4-weights", {}), ("int8-dynamic", {})],
    ids=["fp32", "ort", "int8-weights", "int4-weights", "int8-dynamic"],
)
def test_webassembly_computes_the_same(tmp_path, scheme, options):
    torch.manual_seed(0)
    given = {"x": torch.randn(2, 24, 32)}
    program = capture(Component("model", Merging().eval(), given, {"x": {0: "batch"}}, "encoder"))
    if scheme:
        program = replace(program, precision=Precision(scheme, formats(program, scheme.split("-")[0], 32, ())))
    made = OnnxExporter().export(program, installed().target("onnx-web"), tmp_path, options=Options(**options))
    x = with_pairs(torch.randn(3, 24, 32)).numpy()
    x.tofile(tmp_path / "x.bin")
    command = ["node", "-e", RUN, str(made.entry), str(tmp_path / "x.bin"), json.dumps(x.shape)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    here = OnnxExporter().load(made.entry, threads=1)({"x": x})[program.outputs[0].name]
    # onnxruntime's native build rounds activations before products with int8 weights; the browser's does not.
    tolerance = 2e-2 if scheme in ("int8-dynamic", "int8-weights") else 1e-5
    np.testing.assert_allclose(np.reshape(json.loads(done.stdout), here.shape), here, rtol=0, atol=tolerance)
