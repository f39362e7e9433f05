import subprocess
import sys

import pytest

from edgetok.errors import UnknownTarget
from edgetok.registry import installed


def test_the_registry_is_loaded_once():
    assert installed() is installed()


def test_targets_are_found_by_name_alias_and_path(repository):
    registry = installed()
    path = repository / "targets" / "edgetok_targets" / "onnx-cpu.toml"
    assert registry.target("onnx") == registry.target("onnx-cpu") == registry.target(str(path))


@pytest.mark.parametrize("ref", ["onxn", "nowhere.toml"])
def test_an_unknown_target_is_told(ref):
    with pytest.raises(UnknownTarget) as error:
        installed().target(ref)
    assert "onnx" in error.value.hint or "targets list" in error.value.hint


def test_listing_imports_nothing_heavy():
    code = """
import sys
from edgetok.registry import installed
installed()
heavy = {"torch", "numpy", "onnx", "onnxruntime", "transformers"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
