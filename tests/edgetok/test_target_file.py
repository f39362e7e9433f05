import pytest

from edgetok.errors import BadTarget, UnknownTarget
from edgetok.target_file import load_target_file

GOOD = 'name = "phone"\nsummary = "s"\nexporter = "onnx"\nruntime = "r"\n'


def test_a_target_is_read(tmp_path):
    path = tmp_path / "phone.toml"
    path.write_text(GOOD + '[realisations]\nmatch = "sort-free"\n')
    assert load_target_file(path).realisations.match == "sort-free"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name = ", "is not TOML"),
        (GOOD.replace("exporter", "exporterr"), "did you mean 'exporter'?"),
        (GOOD.replace('runtime = "r"\n', ""), "runtime: Field required"),
        (GOOD + '[realisations]\nmatch = "guess"\n', "realisations.match"),
        (GOOD + "[packed.rounded.rounded]\nnative = [4]\n", "packed.rounded.rounded"),
        (GOOD + '[packed.rounded]\ncost = "c"\n', "packed.rounded.cost"),
        (GOOD + "#" * 70_000, "too large"),
    ],
)
def test_what_is_no_target_is_told(tmp_path, text, says):
    path = tmp_path / "phone.toml"
    path.write_text(text)
    with pytest.raises(BadTarget) as error:
        load_target_file(path)
    assert says in str(error.value)


def test_bytes_are_refused(tmp_path):
    path = tmp_path / "phone.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(BadTarget, match="not UTF-8"):
        load_target_file(path)


def test_a_missing_file_is_an_unknown_target(tmp_path):
    with pytest.raises(UnknownTarget):
        load_target_file(tmp_path / "none.toml")
