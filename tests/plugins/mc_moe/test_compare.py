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
            low, high = row[way]["accuracy_interval"]
            assert 0 <= low <= row[way]["accuracy"] <= high <= 100
        for way in ("uniform", "random", "frequency"):
            mean, low, high = row[way]["loses_more"]
            assert low <= mean <= high
            assert (row[way]["verdict"] == "beaten") == (low > 0)
            fewer = row["mc-moe"]["accuracy"] - row[way]["accuracy"]
            assert row[way]["fewer_right"][0] == pytest.approx(fewer)
    assert json.loads(json.dumps(result)) == result


def test_uniform_lies_between_whole_widths(result):
    between, whole = (row for row in result["budgets"])
    ends = sorted(between[way]["perplexity"] for way in ("uniform_below", "uniform_above"))
    assert ends[0] <= between["uniform"]["perplexity"] <= ends[1]
    assert whole["uniform"] == whole["uniform"] | whole["uniform_below"]


def test_sentences_say_every_figure_and_every_verdict(result):
    lines = compare.sentences(result)
    assert len(lines) == 6
    for row, (first, second, third) in zip(result["budgets"], (lines[:3], lines[3:]), strict=True):
        assert all(f"{row['bits']:g} bits" in line for line in (first, second, third))
        for way in ("mc-moe", "uniform", "random", "frequency"):
            assert f"{row[way]['perplexity']:.4g}" in first
            assert f"{row[way]['accuracy']:.1f} %" in second
        assert f"{result['full']['accuracy']:.1f} %" in second
        verdicts = [row[way]["verdict"] for way in ("uniform", "random", "frequency")]
        assert first.count("beaten") == verdicts.count("beaten")
        assert first.count("better than mc-moe") == verdicts.count("better")


def test_sentences_say_whole_widths_and_the_spread_of_seeds(result):
    lines = compare.sentences(result)
    for row, line in zip(result["budgets"], lines[2::3], strict=True):
        assert f"{row['uniform_below']['perplexity']:.4g}" in line
        assert f"{row['uniform_above']['perplexity']:.4g}" in line
        assert f"{min(row['random_seeds']):.4g} to {max(row['random_seeds']):.4g}" in line
