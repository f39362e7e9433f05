"""A ``.pt2`` archive, looked through before ``torch.export`` may open it.

A ``.pt2`` carries pickles, native libraries and source text. ``torch.export.load`` unpickles sample inputs with
``weights_only=False`` when the safe way fails, unpickles weights and constants that say ``use_pickle``, loads
shared libraries of AOTInductor, evaluates symbolic expressions with ``sympify`` and resolves call targets by
attribute access from ``torch``. Everything here is checked through the same reader that loads later, so that
nothing can look different to the checker and to the loader.
"""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch

from edgetok.errors import BrokenWeights, UnsafeModel, UnsupportedModel
from edgetok.sources.archive_graph import check_program, output_modules

_HINT = "Export it again with tensor inputs and plain tensors as weights, or write package.module:factory."
_KNOWN = re.compile(
    r"(models/[\w.-]+\.json|data/(weights|constants)/[\w.-]+|data/sample_inputs/[\w.-]+\.pt|extra/[\w./-]+"
    r"|archive_format|archive_version|byteorder|\.format_version|\.storage_alignment"
    r"|\.data/(version|serialization_id))"
)
_NATIVE = ("data/aotinductor/", "data/executorch/", "data/mtia/", "data/xl_model_weights/")
MAX_JSON = 256 << 20
MODEL = "model"


def check_archive(stream: BinaryIO, path: Path) -> set[str]:
    """Refuse a ``.pt2`` that could run code or claims sizes it does not have.

    Args:
        stream: the open file, which the caller then loads from, so that the file cannot be swapped in between.
        path: its path, for messages.

    Returns:
        Modules of transformers that define the program's output containers: import them before loading.

    Raises:
        UnsafeModel: pickles that ``weights_only=True`` rejects, custom objects, native code, escaping or compressed
            entries, expressions or call targets that are no tensor arithmetic.
        BrokenWeights: the archive is truncated or inconsistent.
        UnsupportedModel: it is no ``torch.export`` archive.
    """
    names = _check_entries(stream, path)
    reader = _reader(stream, path)
    records = {name: int(reader.get_record_size(name)) for name in reader.get_all_records()}
    if set(records) != names:
        odd = sorted(set(records) ^ names)[:3]
        raise UnsafeModel(f"{path.name} reads differently in two readers.", why=f"They disagree on {odd}.", hint=_HINT)
    _check_names(path, records)
    if f"models/{MODEL}.json" not in records:
        raise UnsupportedModel(f"{path.name} holds no exported program.", why=f"There is no models/{MODEL}.json.")
    programs = [name.removeprefix("models/").removesuffix(".json") for name in records if name.startswith("models/")]
    modules: set[str] = set()
    for program in programs:
        for kind in ("weights", "constants"):
            _check_payloads(path, reader, records, kind, program)
        parsed = _json(path, reader, records, f"models/{program}.json")
        check_program(path.name, parsed)
        modules |= output_modules(parsed)
    for name in records:
        if name.startswith("data/sample_inputs/"):
            _check_pickle(path, name, reader.get_record(name))
    return modules


def _check_entries(stream: BinaryIO, path: Path) -> set[str]:
    """Entry names without the archive's root folder; every entry stored, none repeated, none outside."""
    try:
        with zipfile.ZipFile(stream) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RecursionError) as error:
        raise BrokenWeights(f"{path.name} is truncated or no .pt2 archive.", why=str(error)) from error
    names = [entry.filename for entry in entries]
    roots = {name.partition("/")[0] for name in names}
    for entry in entries:
        parts = entry.filename.split("/")
        if ".." in parts or "" in parts or "\\" in entry.filename or entry.filename.startswith("/"):
            raise UnsafeModel(f"{path.name} has an entry outside its folder.", why=repr(entry.filename), hint=_HINT)
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            why = f"{entry.filename}: {entry.compress_size} bytes unpack to {entry.file_size}; torch stores plainly."
            raise UnsafeModel(f"{path.name} has compressed entries.", why=why, hint=_HINT)
    if len(set(names)) != len(names) or len(roots) != 1:
        raise UnsafeModel(f"{path.name} has repeated entries or several roots.", why=str(sorted(roots)), hint=_HINT)
    if sum(entry.file_size for entry in entries) > os.fstat(stream.fileno()).st_size:
        raise UnsafeModel(f"{path.name} has overlapping entries.", why="Their sizes add up to more than the file.")
    return {name.partition("/")[2] for name in names}


def _reader(stream: BinaryIO, path: Path) -> Any:
    stream.seek(0)
    try:
        return torch._C.PyTorchFileReader(stream)
    except RuntimeError as error:
        raise BrokenWeights(f"{path.name} cannot be opened.", why=str(error).splitlines()[0]) from error


def _check_names(path: Path, records: Mapping[str, int]) -> None:
    for name in records:
        if name.startswith(_NATIVE):
            raise UnsafeModel(f"{path.name} carries compiled code.", why=name, hint=_HINT)
        if not _KNOWN.fullmatch(name):
            hint = "Files of torch older than 2.8 must be exported again."
            raise UnsafeModel(f"{path.name} has an entry that is no part of a .pt2.", why=repr(name), hint=hint)
        if name.startswith(("data/weights/", "data/constants/")) and name.endswith((".pt", ".pth")):
            raise UnsafeModel(f"{path.name} carries a pickle of weights.", why=name, hint=_HINT)


def _json(path: Path, reader: Any, records: Mapping[str, int], name: str) -> Any:
    if name not in records:
        raise BrokenWeights(f"{path.name} is incomplete.", why=f"There is no {name}.")
    if records[name] > MAX_JSON:
        raise UnsafeModel(f"{path.name} has an absurd {name}.", why=f"{records[name]} bytes.")
    try:
        return json.loads(reader.get_record(name).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BrokenWeights(f"{path.name} is malformed.", why=f"{name}: {error}") from error


def _check_payloads(path: Path, reader: Any, records: Mapping[str, int], kind: str, program: str) -> None:
    table = _json(path, reader, records, f"data/{kind}/{program}_{kind}_config.json")
    for name, entry in dict(table.get("config", {})).items():
        file = str(entry.get("path_name", ""))
        if entry.get("use_pickle", True) is not False or not re.fullmatch(r"(weight|tensor)_\d+", file):
            raise UnsafeModel(f"{path.name} carries pickled {kind}.", why=f"{name} in {file!r}.", hint=_HINT)
        _check_extent(path, name, entry.get("tensor_meta") or {}, records.get(f"data/{kind}/{file}"))


def _check_extent(path: Path, name: str, meta: Mapping[str, Any], size: int | None) -> None:
    """A tensor must lie within its record; one that has no bytes must have no elements."""
    from torch._export.serde.serialize import deserialize_scalar_type

    try:
        sizes = [int(entry["as_int"]) for entry in meta["sizes"]]
        strides = [int(entry["as_int"]) for entry in meta["strides"]]
        offset = int(meta["storage_offset"]["as_int"])
        width = deserialize_scalar_type(meta["dtype"]).itemsize
        if min([*sizes, *strides, offset]) < 0 or len(sizes) != len(strides):
            raise ValueError("negative sizes or strides")
    except (KeyError, TypeError, ValueError, AssertionError) as error:
        raise BrokenWeights(f"{path.name} has a malformed weight table.", why=f"{name}: {error!r}") from error
    last = sum((n - 1) * stride for n, stride in zip(sizes, strides, strict=True))
    needed = 0 if 0 in sizes else (offset + last + 1) * width
    if size is None or needed > size:
        why = f"{name} needs {needed} bytes, its record has {size}."
        raise BrokenWeights(f"{path.name} lacks weights it declares.", why=why, hint="Save it again with real weights.")


def _check_pickle(path: Path, name: str, payload: bytes) -> None:
    if not payload:
        return
    what = f"{path.name} is refused: its sample inputs are not plain tensors."
    if zipfile.is_zipfile(io.BytesIO(payload)):
        with zipfile.ZipFile(io.BytesIO(payload)) as nested:
            if any(entry.file_size != entry.compress_size for entry in nested.infolist()):
                raise UnsafeModel(what, why=f"{name} has compressed entries.", hint=_HINT)
    try:
        torch.load(io.BytesIO(payload), weights_only=True, map_location="cpu")
    except Exception as error:
        line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        hint = f"Loading them would run code. {_HINT}"
        raise UnsafeModel(what, why=f"torch.load(weights_only=True) rejects {name}: {line}", hint=hint) from error
