import json
import os

import pytest
from pydantic import ValidationError

from edgetok.report.schema import Report, json_schema


def test_json_round_trip(any_report):
    text = any_report.to_json()
    assert Report.from_json(text) == any_report
    assert Report.from_json(text).to_json() == text


def test_the_public_keys(make_report):
    """The contract's keys, by name: what a reader of report.json may rely on."""
    found = json.loads(make_report().to_json())
    assert found["schema"] == "edgetok.report/1"
    assert found["tokens"]["per_layer"][0] == 197
    for path in (
        "model plugins target refusals plan_digest created versions machine timings.seconds load_ms.dense",
        "tokens.per_layer tokens.dense_per_layer flops.dense flops.optimized flops.ratio flops.paper_style_ratio",
        "size_bytes.dense size_bytes.optimized parity.passed parity.max_abs parity.how parity.decisions.same_share",
        "accuracy.n accuracy.dense accuracy.optimized accuracy.drop accuracy.ci95 accuracy.kl_mean",
        "accuracy.top1_agreement accuracy.method latency.dense_ms latency.optimized_ms latency.ratio latency.spread",
        "latency.threads latency.batch latency.runtime latency.more memory.dense memory.optimized",
    ):
        for keys in path.split():
            place = found
            for key in keys.split("."):
                assert key in place, keys
                place = place[key]


def test_every_section_says_how(any_report):
    found = any_report.as_dict()
    sections = ("tokens", "flops", "size_bytes", "parity", "accuracy", "latency", "memory", "load_ms", "timings")
    assert all(found[name]["how"] for name in sections)


def test_a_section_without_how_is_refused(make_report):
    found = make_report().as_dict()
    found["latency"]["how"] = ""
    with pytest.raises(ValidationError, match="how"):
        Report.model_validate(found)


def test_nothing_evaluated_is_null_not_missing(make_report):
    from edgetok.report.evidence import Accuracy

    found = json.loads(make_report(accuracy=Accuracy.not_evaluated()).to_json())["accuracy"]
    assert found["drop"] is None
    assert found["n"] is None
    assert "--eval" in found["how"]


def test_what_is_not_finite_becomes_null(make_report):
    from edgetok.report.evidence import Parity

    report = make_report(parity=Parity(how="x", passed=False, max_abs=float("nan")))
    assert json.loads(report.to_json())["parity"]["max_abs"] is None


@pytest.mark.parametrize(
    ("section", "figures", "said"),
    [
        ("flops", {"dense": 10, "optimized": 5, "ratio": 0.5, "paper_style_ratio": 2.0}, "ratio is dense / optimized"),
        ("size_bytes", {"dense": 10, "optimized": 5, "ratio": 0.5}, "ratio is dense / optimized"),
        ("latency", {"dense_ms": 10.0, "optimized_ms": 5.0, "ratio": 0.5}, "inverted"),
        ("latency", {"dense_ms": 10.0, "optimized_ms": 5.0, "ratio": 2.0, "spread": [2.1, 1.9]}, "low, high"),
        ("accuracy", {"dense": 80.0, "optimized": 79.0, "drop": -1.0}, "drop is dense - optimized"),
    ],
)
def test_inverted_figures_are_refused(make_report, section, figures, said):
    found = make_report().as_dict()
    found[section] = {"how": "measured", **figures}
    with pytest.raises(ValidationError, match=said):
        Report.model_validate(found)


def test_a_paired_ratio_may_differ_from_the_quotient_of_medians(make_report):
    found = make_report().as_dict()
    found["latency"] |= {"dense_ms": 10.0, "optimized_ms": 9.8, "ratio": 0.99, "spread": [0.97, 1.01]}
    assert Report.model_validate(found).latency.ratio == 0.99


def test_later_fields_are_ignored(make_report):
    found = make_report().as_dict()
    found["energy"] = {"how": "later"}
    assert Report.model_validate(found) == make_report()


def test_another_version_is_refused(make_report):
    with pytest.raises(ValidationError, match="schema"):
        Report.model_validate(make_report().as_dict() | {"schema": "edgetok.report/2"})


def test_published_schema_is_current(repository):
    path = repository / "docs" / "schema" / "report.schema.json"
    if os.environ.get("EDGETOK_UPDATE_GOLDEN") == "1":
        path.write_text(json_schema(), encoding="utf-8")
    assert path.read_text(encoding="utf-8") == json_schema()


def test_the_schema_uses_the_public_names():
    schema = json.loads(json_schema())
    assert "schema" in schema["required"]
    assert "schema_version" not in schema["properties"]
    assert schema["properties"]["schema"]["const"] == "edgetok.report/1"


def test_a_section_reads_results_of_the_same_names():
    from pydantic import BaseModel

    from edgetok.report.evidence import Accuracy

    class Result(BaseModel):
        n: int = 4
        dense: float = 75.0
        optimized: float = 50.0
        drop: float = 25.0
        private: str = "ignored"

    found = Accuracy.from_result(Result(), how="on four images")
    assert (found.n, found.drop, found.how) == (4, 25.0, "on four images")


def test_a_plugin_entry_splits_paper_and_address():
    from typing import ClassVar

    from edgetok.plugin import Plugin
    from edgetok.report.schema import PluginInfo

    class Method(Plugin):
        name: ClassVar[str] = "method"
        summary: ClassVar[str] = "Does something."
        paper: ClassVar[str] = "A Paper: With Colon (2023), https://example.org/abs/1"
        r: int = 3

    found = PluginInfo.of(Method(), sites=4)
    assert (found.paper, found.paper_url) == ("A Paper: With Colon (2023)", "https://example.org/abs/1")
    assert (found.name, found.options, found.sites) == ("method", {"r": 3}, 4)
