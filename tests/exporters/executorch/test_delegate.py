"""What other delegates than XNNPACK take; they are lowered here, and run nowhere."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgetok.errors import RuntimeFailed
from edgetok.graph import capture
from edgetok.registry import installed
from edgetok.testing.zoo import component
from edgetok_exporters.executorch import ExecutorchExporter, Options


@pytest.mark.parametrize("name", ["executorch-coreml", "executorch-vulkan"])
def test_a_merged_program_is_lowered(program, name, tmp_path):
    target = installed().target(name)
    if "coremltools" in target.requires:
        pytest.importorskip("coremltools")
    exported = ExecutorchExporter().export(program, target, tmp_path, options=Options(batch=2))
    delegation = exported.delegation
    assert delegation.delegate == target.delegate
    assert set(delegation.outside) <= {"log", "native_layer_norm"}
    assert 1 <= delegation.partitions <= 2
    assert exported.entry.stat().st_size > delegation.bytes > 0
    with pytest.raises(RuntimeFailed, match="cannot run on this machine") as caught:
        ExecutorchExporter().load(exported.entry)
    assert target.delegate in caught.value.why


class Proportional(nn.Module):
    """An attention whose keys count by their sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(24, 72)

    def forward(self, x: torch.Tensor, sizes: torch.Tensor) -> tuple[torch.Tensor]:
        q, k, v = (t.reshape(*x.shape[:2], 4, 6).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        bias = sizes.log().reshape(x.shape[0], 1, 1, x.shape[1])
        return (x + F.scaled_dot_product_attention(q, k, v, bias).transpose(1, 2).reshape(x.shape),)


def test_vulkan_takes_sizes_as_an_attentions_bias(tmp_path):
    """Written so, a pass of the toolchain once failed: ``Attempting to broadcast a dimension of length 11 at -3``."""
    program = capture(component("model", Proportional(), {"x": torch.randn(2, 11, 24), "sizes": torch.ones(2, 11)}))
    made = ExecutorchExporter().export(program, installed().target("executorch-vulkan"), tmp_path, options=Options())
    assert made.delegation.partitions == 1
    assert "view_copy" not in made.delegation.outside
