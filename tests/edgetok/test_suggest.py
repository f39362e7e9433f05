import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from edgetok.suggest import first_mistake, hint, nearest


def test_nearest_ignores_case_and_gives_up_on_strangers():
    assert nearest("ToMe", ["tome", "pitome"]) == "tome"
    assert nearest("xyz", ["tome"]) is None


def test_hint_lists_what_is_known():
    assert hint("tom", ["tome", "a"], kind="plugin") == "did you mean 'tome'? known plugins: a, tome"
    assert hint("tom", [], kind="plugin") == "no plugins are known here"


def test_a_mistyped_key_is_told_before_the_key_it_should_have_been():
    class Model(BaseModel):
        model_config = ConfigDict(extra="forbid")
        name: str

    with pytest.raises(ValidationError) as error:
        Model(nam="x")
    assert first_mistake(error.value)["loc"] == ("nam",)
