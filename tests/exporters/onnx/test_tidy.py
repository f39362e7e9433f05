"""Peepholes change what is computed, never the result."""

from __future__ import annotations

import onnx
import torch


def operators(trip) -> list[str]:
    return [node.op_type for node in onnx.load(trip.exported.entry).graph.node]


def test_layout_changes_that_undo_each_other_are_gone(capture, trip, agree):
    def there_and_back(x):
        heads = x.reshape(x.shape[0], 5, 2, 4).transpose(1, 2)
        again = heads.permute(0, 2, 1, 3).reshape(x.shape[0], 5, 8)
        return (again.reshape(x.shape[0], 5, 2, 4).transpose(1, 2) + 1, again.squeeze(-1).unsqueeze(-1) * 2)

    example = {"x": torch.randn(2, 5, 8)}
    program = capture(there_and_back, example)
    agree(trip(program), program, {"x": torch.randn(3, 5, 8)})
    found = operators(trip)
    assert found.count("Transpose") == 1
    assert found.count("Reshape") == 1
    assert "Squeeze" not in found


def test_what_is_computed_twice_is_computed_once(capture, trip, agree):
    example = {"x": torch.randn(2, 3)}
    program = capture(lambda x: (x.exp() + 1, x.exp() * 2), example)
    agree(trip(program), program, example, atol=1e-6)
    assert operators(trip).count("Exp") == 1


def test_random_numbers_are_not_merged(capture, trip):
    program = capture(lambda x: (torch.rand_like(x), torch.rand_like(x)), {"x": torch.randn(2, 8)})
    first, second = trip(program)({"x": example_array()}).values()
    assert (first != second).any()


def example_array():
    return torch.zeros(2, 8).numpy()


def test_a_mean_over_heads_is_a_product(capture, trip, agree):
    example = {"k": torch.randn(2, 3, 5, 4)}
    program = capture(lambda k: (k.mean(1) + 0, k.mean(1, keepdim=True) + 0, k.mean(2) + 0), example)
    agree(trip(program), program, {"k": torch.randn(4, 3, 5, 4)}, atol=1e-6)
    found = operators(trip)
    assert found.count("MatMul") == 1
    assert found.count("ReduceMean") == 2


def test_keys_are_not_laid_out_twice_for_their_mean(capture, trip, agree):
    def attend(x):
        heads = x.reshape(x.shape[0], 5, 2, 4).transpose(1, 2)
        return torch.nn.functional.scaled_dot_product_attention(heads + 1, heads, heads + 2), heads.mean(1) + 0

    program = capture(attend, {"x": torch.randn(2, 5, 8)})
    agree(trip(program), program, {"x": torch.randn(3, 5, 8)}, atol=1e-6)
    turns = [n for n in onnx.load(trip.exported.entry).graph.node if n.op_type == "Transpose"]
    reads = [n for n in turns if list(n.attribute[0].ints) == [0, 2, 3, 1]]
    means = [n for n in turns if len(n.attribute[0].ints) == 3]
    assert len(reads) == len(means) == 1


def test_shapes_with_one_unknown_are_constants(capture, trip, agree):
    def views(x):
        return x.view(x.shape[0], 5, -1, 2) + 1, x.view(-1, 8) + 1, x.reshape(x.shape[0] * 5, 2, 4) + 1

    example = {"x": torch.randn(2, 5, 8)}
    program = capture(views, example)
    agree(trip(program), program, {"x": torch.randn(3, 5, 8)})
    assert not {"Shape", "Concat"} & set(operators(trip))


def test_a_log_that_loses_its_squeeze_is_not_taken_for_another(capture, trip, agree):
    def twice(sizes):
        flat = sizes.squeeze(-1)
        bias = flat.log().reshape(sizes.shape[0], 1, 1, 5)
        again = sizes.squeeze(-1).log()[:, None, None]
        return bias + 1, again * 2

    example = {"sizes": torch.rand(2, 5, 1) + 1}
    program = capture(twice, example)
    agree(trip(program), program, {"sizes": torch.rand(3, 5, 1) + 1}, atol=1e-6)


def test_halves_are_slices_and_no_sequences(capture, trip, agree):
    """As a gated MLP takes its two projections apart."""

    def gated(x):
        gate, up = x.chunk(2, dim=-1)
        return (torch.sigmoid(gate) * up,)

    program = capture(gated, {"x": torch.randn(2, 5, 8)})
    agree(trip(program), program, {"x": torch.randn(3, 5, 8)}, atol=1e-6)
    assert not [name for name in operators(trip) if "Sequence" in name]
    assert operators(trip).count("Slice") == 2
