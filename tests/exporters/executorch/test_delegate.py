"""What other delegates than XNNPACK take; they are lowered here, and run nowhere."""

from __future__ import annotations

import pytest

from edgetok.errors import RuntimeFailed
from edgetok.registry import installed
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
