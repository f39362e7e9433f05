"""Modules in memory."""

import pytest
import torch
from torch import Tensor, nn

from edgetok.errors import BadInputs
from edgetok.sources import from_module
from edgetok.sources.memory import eval_view


def test_inputs_are_named_by_forward(tiny: nn.Module) -> None:
    x, y = torch.randn(3, 4), torch.randn(3, 3)
    for inputs in [(x, y), [x, y], {"x": x, "y": y}]:
        component = from_module(tiny, inputs).only
        assert list(component.inputs) == ["x", "y"]
        assert component.dynamic == {"x": {0: "batch"}, "y": {0: "batch"}}
    assert list(from_module(tiny, x).only.inputs) == ["x"]


def test_a_batch_of_one_is_repeated(tiny: nn.Module) -> None:
    x = torch.randn(1, 4)
    component = from_module(tiny, x).only
    assert torch.equal(component.inputs["x"], torch.cat([x, x]))


def test_only_axes_of_the_common_size_are_batch(tiny: nn.Module) -> None:
    component = from_module(tiny, {"x": torch.randn(5, 4), "y": torch.randn(3)}).only
    assert component.dynamic == {"x": {0: "batch"}}


@pytest.mark.parametrize(
    "inputs",
    [(), {}, {"z": torch.zeros(2)}, (torch.zeros(2, 4),) * 3, {"x": 3}, {"y": torch.zeros(2, 3)}, ("text",)],
)
def test_inputs_that_do_not_fit(tiny: nn.Module, inputs: object) -> None:
    with pytest.raises(BadInputs):
        from_module(tiny, inputs)  # type: ignore[arg-type]


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))
        self.second = self.first

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


def test_training_module_is_viewed_in_eval_and_left_alone() -> None:
    module = Shared().train()
    view = eval_view(module)
    x = torch.randn(2, 4)
    assert torch.equal(view(x), view(x))
    assert all(part.training for part in module.modules())
    assert view.first is view.second
    assert [id(p) for p in view.parameters()] == [id(p) for p in module.parameters()]
    expected = module.eval()(x)
    assert torch.equal(view(x), expected)


def test_eval_module_is_itself(tiny: nn.Module) -> None:
    assert eval_view(tiny) is tiny
