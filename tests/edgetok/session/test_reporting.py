from edgetok.registry import installed
from edgetok.session.reporting import over_budget


def test_files_larger_than_a_target_takes_are_warned_of():
    web = installed().target("onnx-web")
    assert over_budget(web, 4096 * 2**20) == ""
    warning = over_budget(web, 4096 * 2**20 + 2**19)
    assert warning.startswith("TOO LARGE for onnx-web: the files take 4,096.5 MiB")
    assert web.memory_source in warning


def test_where_nothing_is_known_nothing_is_said():
    assert over_budget(installed().target("onnx-cpu"), 2**50) == ""
