"""The pieces of the training script."""

from __future__ import annotations

import subprocess
import sys

PIECES = """
import math, torch, train
generator = torch.Generator().manual_seed(0)
tokens = torch.arange(2 * 257 * 3.0).view(2, 257, 3)
kept = train.drop_patches(tokens, 0.5, generator)
assert kept.shape == (2, 129, 3)
assert torch.equal(kept[:, 0], tokens[:, 0]), "CLS stays"
assert (kept[:, 1:, 0].diff(dim=1) > 0).all(), "order stays, nothing twice"
assert not torch.equal(kept[0, :, 0] % 771, kept[1, :, 0] % 771), "each image drops its own"
images = torch.rand(4, 3, 32, 32) * 2 - 1
moved = train.augment(images, generator)
assert moved.shape == images.shape and moved.min() >= -1 and moved.max() <= 1
assert not torch.equal(moved, images)
schedule = train.Schedule()
rates = [train.learning_rate(done / 100, schedule) for done in range(101)]
assert rates[0] == 0 and math.isclose(max(rates), schedule.peak_lr) and rates[-1] < 1e-12
positions = train.sine_positions(16, 64)
assert positions.shape == (256, 64) and len(positions.unique(dim=0)) == 256
"""


def test_the_pieces_do_what_they_say(repository):
    folder = repository / "samples" / "vit_digits"
    done = subprocess.run([sys.executable, "-c", PIECES], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


FEW = """
import data
whole = data.digits
data.digits = lambda split: tuple(part[:200] for part in whole(split))
import train
train.main()
"""


def test_a_short_training_writes_a_whole_model(repository, tmp_path):
    """Two steps on few images: enough to show that the script runs from data to card."""
    options = ["--dropped-epochs", "1", "--full-epochs", "0", "--batch", "100", "--keep", "0.1", "--threads", "1"]
    command = [sys.executable, "-c", FEW, "--out", str(tmp_path), *options]
    subprocess.run(command, cwd=repository / "samples" / "vit_digits", capture_output=True, text=True, check=True)
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"README.md", "config.json", "model.safetensors", "preprocessor_config.json", "training.json"}
