"""What is no whole ``.pte`` file is refused before the runtime sees it."""

from __future__ import annotations

import pytest

from edgetok.errors import RuntimeFailed
from edgetok_exporters.executorch import ExecutorchExporter
from edgetok_exporters.executorch.container import check_container

DAMAGE = {
    "empty": lambda data: b"",
    "foreign": lambda data: b"PK\x03\x04" * 10 + data[40:],
    "text": lambda data: b"once upon a time " * 20,
    "cut in half": lambda data: data[: len(data) // 2],
    "cut in the header": lambda data: data[:20],
    "a size of 0": lambda data: data[:16] + bytes(8) + data[24:],
    "a size beyond the file": lambda data: data[:16] + b"\xff" * 7 + b"\x00" + data[24:],
}


@pytest.mark.parametrize("change", DAMAGE.values(), ids=DAMAGE)
def test_damage_is_refused(damaged, change):
    path = damaged(change)
    with pytest.raises(RuntimeFailed, match="not an ExecuTorch program"):
        check_container(path)
    with pytest.raises(RuntimeFailed):
        ExecutorchExporter().load(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(RuntimeFailed, match="not an ExecuTorch program"):
        ExecutorchExporter().load(tmp_path / "absent.pte")


def test_a_whole_file_passes(made):
    check_container(made.exported.entry)


def test_damage_behind_a_whole_header_is_an_error_too(damaged):
    path = damaged(lambda data: data[:48] + bytes(255 - byte for byte in data[48:400]) + data[400:])
    check_container(path)
    with pytest.raises(RuntimeFailed, match="cannot load"):
        ExecutorchExporter().load(path)
