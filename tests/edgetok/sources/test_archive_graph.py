"""What a serialised graph may hold; hostile archives as a whole are in test_archive.py."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from edgetok.errors import UnsafeModel
from edgetok.sources.archive_graph import check_program, output_modules


@pytest.fixture
def program(pt2: Path) -> Any:
    with zipfile.ZipFile(pt2) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("models/model.json")]
        return json.loads(archive.read(name))


def test_what_torch_writes_passes(program: Any) -> None:
    check_program("tiny.pt2", program)
    assert output_modules(program) == set()


@pytest.mark.parametrize("table", [{"as_operator": "torch.os.system"}, {"target": "torch.os.system"}, {"name": ["x"]}])
@pytest.mark.parametrize("place", ["metadata", "anything", "inputs"])
def test_no_place_in_the_graph_is_exempt(program: Any, table: dict[str, Any], place: str) -> None:
    program["graph_module"]["graph"]["nodes"][0][place] = [{"deeper": table}]
    with pytest.raises(UnsafeModel):
        check_program("tiny.pt2", program)


def test_a_tensor_may_be_called_name(program: Any) -> None:
    values = program["graph_module"]["graph"]["tensor_values"]
    values["name"] = next(iter(values.values()))
    check_program("tiny.pt2", program)


@pytest.mark.parametrize("document", [[], None, "text", {"graph_module": 3}, {"range_constraints": {"open('x')": {}}}])
def test_malformed_documents_are_refused(document: Any) -> None:
    with pytest.raises(UnsafeModel):
        check_program("tiny.pt2", document)


def test_transformers_outputs_name_their_module(program: Any) -> None:
    signature = program["graph_module"]["module_call_graph"][0]["signature"]
    kind = "transformers.modeling_outputs.ImageClassifierOutput"
    signature["out_spec"] = signature["out_spec"].replace("builtins.dict", kind)
    check_program("tiny.pt2", program)
    assert output_modules(program) == {"transformers.modeling_outputs"}
