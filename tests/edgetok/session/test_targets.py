from edgetok.recipe_file import make_recipe
from edgetok.registry import installed
from edgetok.session.targets import check_targets
from edgetok.target import OpSupport

MODEL = "edgetok.testing.zoo:transformer_encoder"


def test_every_target_is_asked_and_those_without_the_precision_say_no():
    plain = installed().target("onnx-cpu")
    picky = plain.model_copy(
        update={"name": "picky", "precisions": (), "ops": OpSupport(default="native", unsupported=("gelu", "relu"))}
    )
    recipe = make_recipe({"model": MODEL, "plugins": "tome:r=2"}, source="test")
    found = check_targets(recipe, [plain, picky])
    assert [forecast.target for forecast in found.forecasts] == ["onnx-cpu", "picky"]
    assert {row.op for row in found.forecasts[1].unsupported} <= {"gelu", "relu"}
    assert found.forecasts[1].unsupported
    assert not found.refused
    quantised = make_recipe({"model": MODEL, "plugins": "tome:r=2,quantize"}, source="test")
    found = check_targets(quantised, [plain, picky])
    assert [forecast.target for forecast in found.forecasts] == ["onnx-cpu"]
    assert "no quantised model" in found.refused["picky"]
