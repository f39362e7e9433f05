import json

import pytest
import torch

from edgetok_plugins.mc_moe import McMoe, compare


@pytest.fixture(scope="module")
def result(build, saved):
    made = torch.Generator().manual_seed(0)
    ids, held_out = (torch.randint(0, 64, (count, 12), generator=made) for count in (3, 4))
    model = saved(build("Mixtral", "ForCausalLM", num_hidden_layers=1))
    patch = pytest.MonkeyPatch()
    patch.setattr(compare, "SEEDS", range(2))
    yield compare.compare(model, {"input_ids": ids}, held_out, McMoe(bits=2.0, group_size=8, method="rtn"), [1.75, 2.0])
    patch.undo()


def test_every_way_is_measured_at_every_budget(result):
    assert [row["bits"] for row in result["budgets"]] == [1.75, 2.0]
    for row in result["budgets"]:
        assert row["mean_width"] <= row["bits"]
        assert len(row["random_seeds"]) == 2
        for way in ("mc-moe", "uniform", "random", "frequency"):
            low, high = row[way]["interval"]
            assert low < row[way]["perplexity"] < high
        for way in ("uniform", "random", "frequency"):
            mean, low, high = row[way]["loses_more"]
            assert low <= mean <= high
            assert (row[way]["verdict"] == "beaten") == (low > 0)
    assert json.loads(json.dumps(result)) == result


def test_uniform_lies_between_whole_widths(result):
    between, whole = (row for row in result["budgets"])
    ends = sorted(between[way]["perplexity"] for way in ("uniform_below", "uniform_above"))
    assert ends[0] <= between["uniform"]["perplexity"] <= ends[1]
    assert whole["uniform"] == whole["uniform"] | whole["uniform_below"]


def test_sentences_say_every_figure_and_every_verdict(result):
    first, second = compare.sentences(result)
    assert "1.75 bits" in first
    assert "2 bits" in second
    for row, line in zip(result["budgets"], (first, second), strict=True):
        for way in ("mc-moe", "uniform", "random", "frequency"):
            assert f"{row[way]['perplexity']:.4g}" in line
        verdicts = [row[way]["verdict"] for way in ("uniform", "random", "frequency")]
        assert line.count("beaten") == verdicts.count("beaten")
        assert line.count("better than mc-moe") == verdicts.count("better")
