import pytest

from edgetok.report.regions import block_path


@pytest.mark.parametrize(
    ("path", "block"),
    [
        ("vit.layers.11.attention", "vit.layers.11"),
        ("encoder.stages.1.blocks.3.attn.self", "encoder.stages.1.blocks.3"),
        ("attention", ""),
        ("", ""),
        ("3", "3"),
    ],
)
def test_a_block_ends_at_the_last_number(path, block):
    assert block_path(path) == block
