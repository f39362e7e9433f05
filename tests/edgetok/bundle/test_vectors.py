import numpy as np

from edgetok.bundle.vectors import read_vectors, write_vectors


def test_vectors_survive_the_file(tmp_path):
    inputs = {"x": np.arange(12, dtype=np.float32).reshape(2, 6)[:, ::2], "ids": np.array([[1], [2]])}
    outputs = {"logits": np.ones((2, 3), np.float32)}
    write_vectors(tmp_path / "v.safetensors", inputs, outputs)
    read_in, read_out = read_vectors(tmp_path / "v.safetensors")
    assert set(read_in) == {"x", "ids"}
    assert set(read_out) == {"logits"}
    for name, array in {**inputs, **outputs}.items():
        read = {**read_in, **read_out}[name]
        np.testing.assert_array_equal(read, array)
        assert read.dtype == array.dtype
