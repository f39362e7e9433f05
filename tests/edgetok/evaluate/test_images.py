"""Pictures that cannot be trusted."""

from pathlib import Path

import pytest

from edgetok.errors import DatasetNotFound
from edgetok.evaluate.images import open_image

PIL = pytest.importorskip("PIL.Image", reason="needs edgetok[images]")


def test_truncated_picture_is_named(pictures: Path) -> None:
    path = pictures / "0.png"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DatasetNotFound, match=r"0\.png"):
        open_image(path)


@pytest.mark.parametrize("data", [b"", b"not a picture", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"])
def test_what_is_no_picture(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.jpg").write_bytes(data)
    with pytest.raises(DatasetNotFound, match=r"x\.jpg"):
        open_image(tmp_path / "x.jpg")


def test_missing_picture(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFound, match="FileNotFoundError"):
        open_image(tmp_path / "none.png")


def test_decompression_bombs_are_refused(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PIL, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DatasetNotFound, match="Bomb"):
        open_image(pictures / "0.png")
