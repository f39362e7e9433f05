import inspect

import edgetok.hookspecs
from edgetok.hookspecs import hookspec


def hooks():
    return {n: f for n, f in vars(edgetok.hookspecs).items() if hasattr(f, f"{hookspec.project_name}_spec")}


def test_the_interface_is_short_typed_and_says_when():
    assert len(hooks()) == 5
    for name, function in hooks().items():
        signature = inspect.signature(function)
        assert name.startswith("edgetok_")
        assert "Called once" in function.__doc__, name
        assert signature.return_annotation is not inspect.Signature.empty
        assert all(p.annotation is not inspect.Parameter.empty for p in signature.parameters.values())
    assert len(inspect.getsource(edgetok.hookspecs).splitlines()) <= 60
