"""Where labelled samples come from."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgetok.errors import DatasetNotFound, ModelNotFound
from edgetok.evaluate import load_dataset
from edgetok.model import Preprocessing

SMALL = Preprocessing(size=(8, 8))


def samples() -> list[tuple[dict[str, Any], int]]:
    return [({"x": np.full(3, index, np.float32)}, index % 2) for index in range(5)]


def test_table_in_order(pictures: Path) -> None:
    for spec in (str(pictures), str(pictures / "labels.tsv"), pictures):
        dataset = load_dataset(spec, SMALL)
        batches = list(dataset.batches(4))
        assert [len(labels) for _, labels in batches] == [4, 2]
        assert np.concatenate([labels for _, labels in batches]).tolist() == [0, 1, 2, 0, 1, 2]
        assert batches[0][0]["pixel_values"].shape == (4, 3, 8, 8)
        assert len(load_dataset(spec, SMALL, limit=3)) == 3


def folders(pictures: Path, names: list[str]) -> str:
    for index, name in enumerate(names):
        (pictures / "root" / name).mkdir(parents=True)
        for copy in range(2):
            shutil.copy(pictures / f"{index}.png", pictures / "root" / name / f"{copy}.PNG")
    (pictures / "root" / "notes.txt").write_text("no class")
    return f"imagefolder:{pictures / 'root'}"


@pytest.mark.parametrize(
    ("names", "classes", "expected"),
    [
        (["a", "b", "c"], (), [0, 1, 2, 0, 1, 2]),
        (["bird", "Ant", "cat"], ("cat", "bird", "ant"), [2, 1, 0, 2, 1, 0]),
        (["10", "2"], tuple("abcdefghijk"), [10, 2, 10, 2]),
        (["n01", "n02"], ("tench", "goldfish"), [0, 1, 0, 1]),
    ],
)
def test_folders_become_classes(
    pictures: Path, names: list[str], classes: tuple[str, ...], expected: list[int]
) -> None:
    dataset = load_dataset(folders(pictures, names), SMALL, classes=classes)
    ((_, labels),) = dataset.batches(10)
    assert labels.tolist() == expected


def test_limit_takes_of_every_class(pictures: Path) -> None:
    spec = folders(pictures, ["a", "b", "c"])
    for dataset in (load_dataset(spec, SMALL, limit=3), load_dataset(spec, SMALL).part(0, 3)):
        ((_, labels),) = dataset.batches(10)
        assert labels.tolist() == [0, 1, 2]


def test_folders_that_do_not_fit_the_classes(pictures: Path) -> None:
    with pytest.raises(DatasetNotFound, match="2 folders, 3 classes"):
        load_dataset(folders(pictures, ["x", "y"]), SMALL, classes=("a", "b", "c"))


@pytest.mark.parametrize(
    "line", ["0.png 1", "0.png\tone", "0.png\t-1", "none.png\t1", "../secret.png\t1", "/etc/passwd\t1", "\t1"]
)
def test_malformed_tables_name_the_line(pictures: Path, line: str) -> None:
    (pictures.parent / "secret.png").write_bytes(b"")
    (pictures / "labels.tsv").write_text(f"1.png\t1\n{line}\n")
    with pytest.raises(DatasetNotFound, match=r"[Ll]ine 2"):
        load_dataset(str(pictures), SMALL)


@pytest.mark.parametrize("spec", ["nowhere", "imagefolder:nowhere", "a/b:c", ""])
def test_nothing_there(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetNotFound):
        load_dataset(spec, SMALL)


def test_empty_folders_and_tables(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(DatasetNotFound, match="no pictures"):
        load_dataset(f"imagefolder:{tmp_path}", SMALL)
    (tmp_path / "labels.tsv").write_text("\n")
    with pytest.raises(DatasetNotFound, match="empty"):
        load_dataset(tmp_path, SMALL)


def test_pictures_need_preprocessing_that_gives_one_size(pictures: Path) -> None:
    with pytest.raises(DatasetNotFound, match="preprocessing"):
        load_dataset(pictures, None)
    with pytest.raises(DatasetNotFound, match="different sizes"):
        list(load_dataset(pictures, Preprocessing()).batches(4))


def test_callables_iterables_and_references(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_data.py").write_text("def make():\n    return [({'x': [1.0, 2.0]}, 1)]\n")
    monkeypatch.chdir(tmp_path)
    for spec, n in [(samples, 5), (samples(), 5), (iter(samples()), 5), ("own_data:make", 1)]:
        dataset = load_dataset(spec, None)
        assert len(dataset) == n
        for _ in range(2):
            inputs, labels = next(dataset.batches(2))
            assert inputs["x"].shape[0] == len(labels) == min(2, n)
    with pytest.raises(ModelNotFound):
        load_dataset("own_data:nothing", None)


@pytest.mark.parametrize("spec", [[], [1], [({"x": 1},)], 3, [(np.zeros(3), 1)], lambda: 1 / 0])
def test_what_gives_no_samples(spec: Any) -> None:
    with pytest.raises(DatasetNotFound):
        load_dataset(spec, None)


def test_samples_that_do_not_stack() -> None:
    with pytest.raises(DatasetNotFound, match="stack"):
        next(load_dataset([({"x": [1]}, 0), ({"x": [1, 2]}, 0)], None).batches(2))


def test_a_folder_of_pictures_is_enough_where_labels_do_not_matter(tmp_path):
    image = pytest.importorskip("PIL.Image")
    for name in ("b.png", "a.png"):
        image.new("RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    found = load_dataset(str(tmp_path), Preprocessing(), labelled=False)
    assert [path.name for path in found.files] == ["a.png", "b.png"]
    with pytest.raises(DatasetNotFound, match=r"labels\.tsv"):
        load_dataset(str(tmp_path), Preprocessing())
