"""Which call targets pass."""

import pytest
import torch

from edgetok.sources.call_targets import check_target


@pytest.mark.parametrize(
    "target",
    ["torch.ops.aten.add.Tensor", "torch.ops.aten.__and__.Tensor", "_operator.mul", "math.ceil", "torch.sym_max",
     "torch.ops.higher_order.wrap_with_set_grad_enabled"],
)  # fmt: skip
def test_tensor_operations_pass(target: str) -> None:
    check_target(target)


@pytest.mark.parametrize(
    "target",
    ["torch.os.system", "torch.load", "torch.ops.load_library", "torch.ops.aten.from_file.default", "math.__class__",
     "_operator.methodcaller", "#ext:x", "torch.ops.aten.__class__.__init__", "torch.ops.other.op.default", "", None],
)  # fmt: skip
def test_other_targets_are_refused(target: str) -> None:
    with pytest.raises(ValueError):
        check_target(target)


def test_forbidden_names_exist_or_never_resolve() -> None:
    assert isinstance(torch.ops.aten.from_file.default, torch._ops.OpOverload)
