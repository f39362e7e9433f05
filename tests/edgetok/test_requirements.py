import pytest

from edgetok.errors import MissingExtra
from edgetok.requirements import missing, pip_line, require
from edgetok.target import Target


def target(**fields):
    return Target(name="t", summary="s", exporter="e", runtime="r", **fields)


def test_missing_names_only_what_is_missing():
    assert missing(["json", "no_such_module", "no_such.child", ""]) == ["no_such_module", "no_such.child", ""]


def test_the_pip_line():
    assert pip_line(target(extra="onnx")) == "pip install 'edgetok[onnx]'"
    assert pip_line(target(requires=("a", "b"))) == "pip install a b"


def test_require_refuses_with_the_pip_line():
    require(target(requires=("json",)))
    with pytest.raises(MissingExtra) as error:
        require(target(requires=("json", "no_such_module"), extra="phone"))
    assert error.value.why == "missing: no_such_module"
    assert error.value.hint == "pip install 'edgetok[phone]'"
