"""References as users write them."""

import subprocess
import sys
from pathlib import Path

import pytest

from edgetok.errors import MissingExtra, ModelNotFound, NetworkRefused, UnsafeModel, UnsupportedModel
from edgetok.sources import load_model


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.bin", "model.ckpt", "model.pkl"])
def test_pickles_are_refused_unread(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"never read")
    with pytest.raises(UnsafeModel, match="save_file") as caught:
        load_model(str(tmp_path / name))
    assert caught.value.exit_status == 3


def test_missing_file_names_its_neighbours(vit_directory: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"Did you mean .*vit"):
        load_model(str(vit_directory.with_name("vti")))


@pytest.mark.parametrize("ref", ["nothing", "no/such/place", "nothing.pt2", "", "a:b:c", "missing/model.pt2"])
def test_nothing_there(ref: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ModelNotFound, UnsupportedModel)):
        load_model(ref)


@pytest.mark.parametrize("ref", ["google/vit-base-patch16-224", "hub:google/vit-base-patch16-224"])
def test_hub_ids_need_permission(ref: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub", reason="needs edgetok[hf]")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(NetworkRefused, match="allow-network"):
        load_model(ref)


def test_hub_that_cannot_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub", reason="needs edgetok[hf]")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelNotFound, match="hub gave no"):
        load_model("nobody-at-all/no-such-model", allow_network=True)


def test_directory_without_config(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=r"no config\.json"):
        load_model(str(tmp_path))


def test_other_files_are_unsupported(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(UnsupportedModel, match=r"holds config\.json"):
        load_model(str(tmp_path / "model.safetensors"))


def test_timm_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtra, match="pip install timm"):
        load_model("timm:vit_tiny_patch16_224")


def test_unknown_sample() -> None:
    with pytest.raises(ModelNotFound, match="no sample"):
        load_model("sample:nothing")


def test_importing_sources_is_light() -> None:
    code = (
        "import sys, edgetok.sources; print([m for m in ('torch', 'transformers', 'numpy', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
