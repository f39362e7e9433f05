"""What is a feature, what is about tokens, and what can be evaluated without weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from edgetok.graph.dependence import NotEvaluableError, data_inputs, evaluate, feature_nodes


class Kinds(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(9, 4)
        self.register_buffer("table", torch.arange(20.0).reshape(5, 4))

    def forward(self, ids: Tensor, x: Tensor) -> dict[str, Tensor]:
        angles = ids.float().unsqueeze(-1) * 0.5
        return {
            "embedded": self.words(ids),
            "angles": angles.cos(),
            "mask": ids != 0,
            "sized": torch.zeros_like(x) + 1.0,
            "table": self.table * 2,
            "mixed": x * angles,
            "projected": x.relu(),
        }


@pytest.fixture(scope="module")
def program(lab):
    return lab.capture(Kinds(), {"ids": torch.randint(0, 9, (2, 5)), "x": torch.randn(2, 5, 4)})


def test_features_and_what_is_about_them(program):
    data = data_inputs(program.graph, program.placeholders.values())
    features = feature_nodes(program.graph, data)
    by_name = {spec.name: node for spec, node in zip(program.outputs, program.results, strict=True)}
    assert {name for name, node in by_name.items() if node in features} == {"embedded", "mixed", "projected"}
    assert {name: set(data[node]) for name, node in by_name.items()} == {
        "embedded": {"ids"},
        "angles": {"ids"},
        "mask": {"ids"},
        "sized": set(),
        "table": set(),
        "mixed": {"ids", "x"},
        "projected": {"x"},
    }


def test_values_are_computed_from_what_is_known(program):
    by_name = {spec.name: node for spec, node in zip(program.outputs, program.results, strict=True)}
    ids = torch.tensor([[0, 1, 2]])
    assert evaluate(by_name["mask"], {"ids": ids}).tolist() == [[False, True, True]]
    with pytest.raises(NotEvaluableError):
        evaluate(by_name["projected"], {"ids": ids})
