from edgetok.lowering import forecast, forecasts
from edgetok.target import OpSupport, Realisations, Target
from edgetok.testing import zoo
from edgetok.testing.reductions import Merge
from edgetok.testing.trial import Trial, subject


def target(name="t", **ops):
    return Target(
        name=name,
        summary="a b c",
        exporter="e",
        runtime="r",
        realisations=Realisations(match="sort-free", reduce="one-hot"),
        ops=OpSupport(source="these tests", **ops),
    )


def program():
    return Trial(Merge(), subject(zoo.transformer_encoder)).optimised


def test_all_native_is_one_partition_and_none_native_is_none():
    whole = forecast(program(), target(default="native"))
    assert (whole.partitions, whole.cuts, whole.count("fallback")) == (1, {}, 0)
    nothing = forecast(program(), target(default="fallback"))
    assert (nothing.partitions, nothing.count("native")) == (0, 0)
    assert whole.count("native") == nothing.count("fallback") > 0


def test_an_operation_outside_cuts():
    found = forecast(program(), target(default="native", fallback=("layer_norm",), why={"layer_norm": "because"}))
    assert found.partitions > 1
    assert found.cuts == {"layer_norm": sum(row.count for row in found.ops if row.op == "layer_norm")}
    assert {row.why for row in found.ops if row.op == "layer_norm"} == {"because"}


def test_makers_are_told_apart_and_the_unsupported_named():
    found = forecast(program(), target(default="native", unsupported=("matmul",)))
    assert {row.maker for row in found.unsupported} == {"model", "merge"}
    assert {row.op for row in found.unsupported} == {"matmul"}


def test_several_targets_share_a_lowering_and_agree_with_one_by_one():
    given = program()
    asked = [target("a", default="native"), target("b", native=("linear",))]
    assert forecasts(given, asked) == [forecast(given, one) for one in asked]


def test_what_plugins_inserted_may_have_a_place_of_its_own():
    """An NPU of integers takes a product of the model, and not one of a match, which is never quantised."""
    support = OpSupport(native=("mul",), unsupported=("sort",), inserted="fallback", default="unsupported")
    assert support.placement("mul") == "native"
    assert support.placement("mul", inserted=True) == "fallback"
    assert support.placement("sort", inserted=True) == "unsupported"
    assert OpSupport(native=("mul",)).placement("mul", inserted=True) == "native"
