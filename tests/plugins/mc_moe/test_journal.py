import dataclasses

import pytest
import torch

from edgetok.errors import OutputExists
from edgetok_plugins.mc_moe.calibrate import Statistics
from edgetok_plugins.mc_moe.journal import Journal, key_of, save_tensors, statistics_of

SEEN = Statistics("model.layers.12.mlp.experts", 7, (0.1, 1 / 3), (0.2, 0.3), ((1.5, 0.1), (2.0, 0.2)), 9.25, None)


def test_what_is_noted_comes_back_to_the_last_bit(tmp_path):
    Journal(tmp_path / "job", "key").note(12, SEEN)
    assert Journal(tmp_path / "job", "key").statistics(12) == SEEN
    assert statistics_of({SEEN.name: dataclasses.asdict(SEEN)}) == {12: SEEN}


def test_positions_are_kept_per_phase(tmp_path):
    journal, hidden = Journal(tmp_path / "job", "key"), torch.randn(2, 3, 4)
    assert journal.position("calibrate") == (0, None)
    journal.advance("calibrate", 5, hidden)
    layer, found = Journal(tmp_path / "job", "key").position("calibrate")
    assert layer == 5
    assert torch.equal(found, hidden)
    assert journal.position("quantise") == (0, None)


def test_another_job_is_refused_and_left_alone(tmp_path):
    Journal(tmp_path / "job", "key").note(12, SEEN)
    with pytest.raises(OutputExists, match="other options"):
        Journal(tmp_path / "job", "other")
    assert Journal(tmp_path / "job", "key").statistics(12) == SEEN


def test_a_file_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    def broken(tensors, file):
        file.write_bytes(b"half")
        raise OSError("no space left")

    file = tmp_path / "layer.safetensors"
    monkeypatch.setattr("edgetok_plugins.mc_moe.journal.save_file", broken)
    with pytest.raises(OSError, match="space"):
        save_tensors(file, {"a": torch.zeros(1)})
    assert not file.exists()


def test_the_key_is_of_everything_that_decides(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "w").write_bytes(b"1")

    def key(settings=1, ids=(1, 2)):
        return key_of(settings, {"ids": torch.tensor(ids)}, tmp_path, [tmp_path / "w"])

    first = key()
    assert key() == first
    assert len({first, key(settings=2), key(ids=(1, 3))}) == 3
    (tmp_path / "w").write_bytes(b"12")
    assert key() != first
    (tmp_path / "w").write_bytes(b"1")
    (tmp_path / "config.json").write_text("{ }")
    assert key() != first
