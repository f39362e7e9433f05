"""What marks compressed directories, and which files are theirs."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from edgetok.errors import BrokenWeights, UnsupportedModel
from edgetok_plugins.mc_moe.format import FORMAT, METHOD, check_mark, mark, own_shards

OURS = {"quantization_config": mark()}


@pytest.fixture
def directory(tmp_path):
    """One shard, as an index names it."""
    made = tmp_path / "small"
    made.mkdir()
    save_file({"w": torch.ones(2)}, made / "part.safetensors")
    (made / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": "part.safetensors"}}))
    return made


def test_what_is_written_is_what_is_read(tmp_path):
    check_mark(tmp_path, OURS, METHOD)
    check_mark(tmp_path, {}, None)


@pytest.mark.parametrize("written", [FORMAT + 1, 0, None, "1", True, 1.0, [1]])
def test_other_formats_are_refused_by_number(tmp_path, written):
    config = {"quantization_config": mark() | {"format": written}}
    with pytest.raises(UnsupportedModel, match="format") as refused:
        check_mark(tmp_path, config, METHOD)
    assert repr(written) in refused.value.what
    assert str(FORMAT) in refused.value.why


@pytest.mark.parametrize("stored", [[METHOD], METHOD, None, {}, {"quant_method": [METHOD]}, {"quant_method": "gptq"}])
def test_other_marks_are_refused(tmp_path, stored):
    for method in (METHOD, None):
        with pytest.raises(UnsupportedModel, match="quantised"):
            check_mark(tmp_path, {"quantization_config": stored}, method)


def test_files_beside_the_index_are_none_of_it(directory):
    (directory / "layer-99999.safetensors").mkdir()
    (directory / "layer-99998.safetensors").write_bytes(b"xx")
    assert set(own_shards(directory)) == {"w"}


def moved(directory, place):
    place.parent.mkdir(parents=True, exist_ok=True)
    (directory / "part.safetensors").rename(place)
    (directory / "part.safetensors").symlink_to(place)


def test_a_link_to_outside_is_refused(directory, tmp_path):
    moved(directory, tmp_path / "elsewhere" / "part.safetensors")
    with pytest.raises(BrokenWeights, match="outside"):
        own_shards(directory)


def test_links_of_a_hub_cache_are_followed(directory, tmp_path):
    snapshot = tmp_path / "snapshots" / "main"
    snapshot.parent.mkdir()
    directory.rename(snapshot)
    moved(snapshot, tmp_path / "blobs" / "0123abcd")
    assert set(own_shards(snapshot)) == {"w"}
