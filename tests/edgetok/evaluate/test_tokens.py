"""Files of token windows: read as they are, malformed ones refused, never unpickled."""

from __future__ import annotations

import numpy as np
import pytest

from edgetok.errors import DatasetNotFound
from edgetok.evaluate import TokenWindows, load_dataset


@pytest.fixture
def file(tmp_path):
    """``file(array)`` is the path of a ``.npy`` file."""

    def write(array):
        path = tmp_path / "text.npy"
        np.save(path, array, allow_pickle=True)
        return str(path)

    return write


def test_windows_and_what_follows(file):
    ids = np.arange(20, dtype=np.uint8).reshape(5, 4)
    data = load_dataset(file(ids), None, input_name="ids", limit=4)
    assert isinstance(data, TokenWindows)
    assert len(data) == 4
    batches = list(data.batches(3))
    assert [len(labels) for _, labels in batches] == [3, 1]
    inputs, labels = batches[0]
    np.testing.assert_array_equal(inputs["ids"], ids[:3])
    np.testing.assert_array_equal(labels, ids[:3, 1:])
    assert inputs["ids"].dtype == labels.dtype == np.int64
    np.testing.assert_array_equal(next(data.part(1, 3).batches(9))[1], ids[1:3, 1:])
    assert data.largest == 15


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 4), np.float32),
        np.zeros(4, np.int64),
        np.zeros((0, 4), np.int64),
        np.zeros((2, 1), np.int64),
        np.array([[0, -1]]),
        np.array([[{}, 1]], dtype=object),
    ],
    ids=["floats", "one axis", "empty", "one token", "negative", "pickled"],
)
def test_what_is_no_text_is_refused(file, array):
    with pytest.raises(DatasetNotFound):
        load_dataset(file(array), None)


def test_a_truncated_file_is_refused(file, tmp_path):
    path = file(np.zeros((50, 40), np.int64))
    content = (tmp_path / "text.npy").read_bytes()
    for length in (0, 5, 60, len(content) - 8):
        (tmp_path / "text.npy").write_bytes(content[:length])
        with pytest.raises(DatasetNotFound):
            load_dataset(path, None)
