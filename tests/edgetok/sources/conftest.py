"""Small models on disk, made once."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn


class Tiny(nn.Module):
    """A linear layer, a non-persistent buffer and an optional second input."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.register_buffer("shift", torch.arange(3.0), persistent=False)

    def forward(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        logits = self.linear(x) + self.shift
        return {"logits": logits if y is None else logits + y}


@pytest.fixture
def tiny() -> nn.Module:
    torch.manual_seed(0)
    return Tiny().eval()


@pytest.fixture(scope="session")
def pt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    batch = torch.export.Dim("batch")
    exported = torch.export.export(
        Tiny().eval(), (torch.randn(2, 4),), {"y": torch.randn(2, 3)}, dynamic_shapes={"x": {0: batch}, "y": {0: batch}}
    )
    path = tmp_path_factory.mktemp("pt2") / "tiny.pt2"
    torch.export.save(exported, path)
    return path


@pytest.fixture(scope="session")
def vit_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    transformers = pytest.importorskip("transformers", reason="needs edgetok[hf]")
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=32,
        patch_size=8,
        id2label={0: "cat", 1: "dog", 2: "eel"},
    )
    directory = tmp_path_factory.mktemp("models") / "vit"
    transformers.ViTForImageClassification(config).save_pretrained(directory)
    (directory / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A model\n")
    return directory
