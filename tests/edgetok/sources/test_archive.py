"""Hostile ``.pt2`` files: refused, and nothing they carry runs."""

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from edgetok.errors import BrokenWeights, UnsafeModel
from edgetok.sources import load_model

Entries = dict[str, bytes]
MODEL = "models/model.json"


def read(path: Path) -> tuple[str, Entries]:
    with zipfile.ZipFile(path) as archive:
        root = archive.namelist()[0].partition("/")[0]
        return root, {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def write(path: Path, root: str, entries: Entries, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(f"{root}/{name}", data)
    return path


def edited(entries: Entries, name: str, change: Callable[[dict], None]) -> None:
    document = json.loads(entries[name])
    change(document)
    entries[name] = json.dumps(document).encode()


class Bomb:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> object:
        return os.system, (f"touch '{self.marker}'",)


def pickled(marker: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save(((Bomb(marker),), {}), buffer)
    return buffer.getvalue()


def code(marker: Path) -> str:
    return f"__import__('pathlib').Path('{marker}').touch()"


def sample_inputs(entries: Entries, marker: Path) -> None:
    entries["data/sample_inputs/model.pt"] = pickled(marker)


def plain_pickle_as_sample_inputs(entries: Entries, marker: Path) -> None:
    entries["data/sample_inputs/model.pt"] = pickle.dumps(((Bomb(marker),), {}), protocol=2)


def pickled_weight(entries: Entries, marker: Path) -> None:
    def change(table: dict) -> None:
        entry = table["config"]["linear.weight"]
        entry["use_pickle"] = True
        entries[f"data/weights/{entry['path_name']}"] = pickled(marker)

    edited(entries, "data/weights/model_weights_config.json", change)


def pickled_constant(entries: Entries, marker: Path) -> None:
    def change(table: dict) -> None:
        table["config"]["shift"]["use_pickle"] = True

    edited(entries, "data/constants/model_constants_config.json", change)
    entries["data/constants/tensor_0"] = pickled(marker)


def opaque_object(entries: Entries, marker: Path) -> None:
    def change(table: dict) -> None:
        entry = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
        table["config"]["odd"] = entry

    edited(entries, "data/constants/model_constants_config.json", change)
    entries["data/constants/opaque_obj_0"] = pickle.dumps(Bomb(marker))


def symbolic_size(entries: Entries, marker: Path) -> None:
    def change(program: dict) -> None:
        for value in program["graph_module"]["graph"]["tensor_values"].values():
            value["sizes"][0] = {"as_expr": {"expr_str": code(marker), "hint": None}}

    edited(entries, MODEL, change)


def legacy_weights(entries: Entries, marker: Path) -> None:
    entries["data/weights/model.pt"] = pickled(marker)


RUNS_ON_LOAD = [
    sample_inputs,
    plain_pickle_as_sample_inputs,
    pickled_weight,
    pickled_constant,
    opaque_object,
    symbolic_size,
    legacy_weights,
]


@pytest.mark.parametrize("attack", RUNS_ON_LOAD)
def test_what_torch_would_run_is_refused(pt2: Path, tmp_path: Path, attack: Callable[[Entries, Path], None]) -> None:
    root, entries = read(pt2)
    marker = tmp_path / "ran"
    attack(entries, marker)
    hostile = write(tmp_path / "hostile.pt2", root, entries)
    with pytest.raises(UnsafeModel):
        load_model(str(hostile))
    assert not marker.exists()
    try:
        torch.export.load(hostile)
    except Exception as error:
        print("torch:", error)
    assert marker.exists(), "the attack is a dud: torch.export.load does not run it either"


def test_guards_are_never_evaluated(pt2: Path, tmp_path: Path) -> None:
    root, entries = read(pt2)
    marker = tmp_path / "ran"
    edited(entries, MODEL, lambda program: program.update(guards_code=[f"{code(marker)} is None"]))
    hostile = write(tmp_path / "hostile.pt2", root, entries)
    component = load_model(str(hostile)).only
    component.module(**component.inputs)
    assert not marker.exists()
    inputs = component.inputs
    torch.export.load(hostile).module()(inputs["x"], y=inputs["y"])
    assert marker.exists(), "the attack is a dud"


def call_target(program: dict) -> None:
    node = program["graph_module"]["graph"]["nodes"][0]
    node["target"] = "torch.os.system"


def file_reader(program: dict) -> None:
    program["graph_module"]["graph"]["nodes"][0]["target"] = "torch.ops.aten.from_file.default"


def library_loader(program: dict) -> None:
    program["graph_module"]["graph"]["nodes"][0]["target"] = "torch.ops.load_library"


def input_name(program: dict) -> None:
    program["graph_module"]["module_call_graph"][0]["signature"]["forward_arg_names"] = ["x=print(1)", "y"]


def keyword_name(program: dict) -> None:
    signature = program["graph_module"]["module_call_graph"][0]["signature"]
    signature["in_spec"] = signature["in_spec"].replace('[\\"y\\"]', '[\\"y=print(1)\\"]')
    assert "print" in signature["in_spec"]


def imported_enum(program: dict) -> None:
    context = json.dumps([{"__enum__": True, "fqn": "antigravity:x", "name": "x"}])
    tree = {"type": "builtins.dict", "context": context, "children_spec": []}
    program["graph_module"]["module_call_graph"][0]["signature"]["out_spec"] = json.dumps([1, tree])


def imported_default(program: dict) -> None:
    context = {"default_factory_module": "antigravity", "default_factory_name": "x", "dict_context": []}
    tree = {"type": "collections.defaultdict", "context": json.dumps(context), "children_spec": []}
    program["graph_module"]["module_call_graph"][0]["signature"]["out_spec"] = json.dumps([1, tree])


def custom_object(program: dict) -> None:
    argument = {"arg": {"name": "obj", "class_fqn": "x"}, "custom_obj_name": "odd"}
    program["graph_module"]["signature"]["input_specs"].append({"custom_obj": argument})


def endless_power(program: dict) -> None:
    table = program["graph_module"]["graph"]["sym_int_values"]
    table["s1"] = {"as_expr": {"expr_str": "Pow(Pow(Pow(Integer(9), Integer(64)), Integer(64)), Integer(64))"}}


@pytest.mark.parametrize(
    "change",
    [
        call_target,
        file_reader,
        library_loader,
        input_name,
        keyword_name,
        imported_enum,
        imported_default,
        custom_object,
        endless_power,
    ],
)
def test_graph_that_is_no_tensor_program_is_refused(pt2: Path, tmp_path: Path, change: Callable[[dict], None]) -> None:
    root, entries = read(pt2)
    edited(entries, MODEL, change)
    with pytest.raises(UnsafeModel):
        load_model(str(write(tmp_path / "hostile.pt2", root, entries)))


@pytest.mark.parametrize("name", ["data/aotinductor/model/model.so", "extra/../../escape", "evil.py"])
def test_unknown_and_native_entries_are_refused(pt2: Path, tmp_path: Path, name: str) -> None:
    root, entries = read(pt2)
    entries[name] = b"\x7fELF"
    with pytest.raises(UnsafeModel):
        load_model(str(write(tmp_path / "hostile.pt2", root, entries)))


def test_compressed_entries_are_refused(pt2: Path, tmp_path: Path) -> None:
    root, entries = read(pt2)
    entries["data/weights/weight_0"] = bytes(50_000_000)
    with pytest.raises(UnsafeModel, match="compressed"):
        load_model(str(write(tmp_path / "bomb.pt2", root, entries, zipfile.ZIP_DEFLATED)))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_repeated_entries_are_refused(pt2: Path, tmp_path: Path) -> None:
    root, entries = read(pt2)
    path = write(tmp_path / "hostile.pt2", root, entries)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{root}/{MODEL}", b"{}")
    with pytest.raises(UnsafeModel, match="repeated"):
        load_model(str(path))


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.99])
def test_truncated_archive_is_broken(pt2: Path, tmp_path: Path, keep: float) -> None:
    data = pt2.read_bytes()
    path = tmp_path / "short.pt2"
    path.write_bytes(data[: int(keep if keep > 1 else keep * len(data))])
    with pytest.raises(BrokenWeights):
        load_model(str(path))


def test_weight_larger_than_its_record_is_broken(pt2: Path, tmp_path: Path) -> None:
    root, entries = read(pt2)

    def change(table: dict) -> None:
        table["config"]["linear.weight"]["tensor_meta"]["sizes"][0] = {"as_int": 1 << 50}

    edited(entries, "data/weights/model_weights_config.json", change)
    with pytest.raises(BrokenWeights, match="lacks weights"):
        load_model(str(write(tmp_path / "huge.pt2", root, entries)))
