"""The share of a merge in a block: a difference over a difference, and a ceiling that slices tiled merges too."""

from __future__ import annotations

import pytest
import torch

from edgetok.graph import capture
from edgetok.registry import installed
from edgetok.testing import zoo
from edgetok_plugins.local_merge import LocalMerge


def test_the_share_is_of_one_merge_in_one_block(benchmark):
    found = benchmark("block_share").share_of({"dense": 13.0, "one": 3.0, "merged": 11.4, "ceiling": 11.0})
    assert found == pytest.approx({"block_ms": 5.0, "merge_ms": 0.2, "share": 0.04})


def test_the_ceiling_of_merging_in_tiles_slices_and_nothing_else(benchmark):
    program = capture(zoo.vit())
    merging = benchmark("_vits").reduced(program, LocalMerge(r=4, tile=12), installed().target("onnx-cpu"))
    sliced = benchmark("_ceiling").free_drop(merging)
    counts = [[int(n.meta["val"].shape[2]) for n in each.graph.nodes if "scaled_dot" in str(n.target)]
              for each in (merging, sliced)]  # fmt: skip
    assert counts[0] == counts[1] == [26, 22, 18]
    assert not [n for n in sliced.graph.nodes if "edgetok" in str(n.target)]
    with torch.no_grad():
        assert sliced.exported.module()(**zoo.vit().inputs)[0].shape == (2, 7)
