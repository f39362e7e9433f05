from edgetok.recipe_file import make_recipe
from edgetok.registry import installed
from edgetok.session.targets import check_targets
from edgetok.target import OpSupport
from edgetok_targets import edgetok_targets

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
    assert {forecast.precision for forecast in found.forecasts} == {None}
    quantised = make_recipe({"model": MODEL, "plugins": "tome:r=2,quantize"}, source="test")
    found = check_targets(quantised, [plain, picky])
    assert [forecast.target for forecast in found.forecasts] == ["onnx-cpu"]
    assert "no quantised model" in found.refused["picky"]
    assert found.forecasts[0].precision == "int8-dynamic"


def test_the_first_target_may_be_a_users_own_file(tmp_path):
    own = tmp_path / "phone.toml"
    text = next(path for path in edgetok_targets() if path.stem == "onnx-cpu").read_text()
    own.write_text(text.replace('"onnx-cpu"', '"my-phone"').replace('aliases = ["onnx"]', ""))
    recipe = make_recipe({"model": MODEL, "plugins": "tome:r=2"}, source="test")
    found = check_targets(recipe, [installed().target(str(own)), installed().target("onnx-cpu")])
    assert [forecast.target for forecast in found.forecasts] == ["my-phone", "onnx-cpu"]
    assert found.plan.target == "my-phone"
