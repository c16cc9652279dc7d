from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes_adaptation import submit

from reid.embedder import OnnxEmbedder
from reid.release import Release
from reid.types import FloatArray, UInt8Array
from server.adaptation.embedding import embed_tracklets, read_crop
from server.adaptation.gallery_move import GalleryMove
from server.adaptation.settings import JobSettings
from server.crops.store import StoredCrop


def write_crop(path: Path, seed: int) -> UInt8Array:
    """A picture of one colour, which JPEG keeps; gives it as it is read again."""
    colour = np.random.default_rng(seed).integers(0, 256, 3, dtype=np.uint8)
    cv2.imwrite(str(path), np.broadcast_to(colour, (256, 128, 3)).copy())
    image = read_crop(path)
    assert image is not None
    return image


@dataclass
class Moved:
    """A gallery that only notes what it is told."""

    folder: Path
    crops: list[StoredCrop] = field(default_factory=list)
    means: dict[int, FloatArray] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)

    def put_means(self, space: str, means: Mapping[int, FloatArray]) -> int:
        self.told.append(f"means {space}")
        self.means.update(means)
        return len(means)

    async def move(self, release: Release) -> None:
        self.told.append(f"move {release.manifest.space}")

    def to(self, release: Release) -> None:
        move = GalleryMove(
            crops=lambda space: self.crops,
            put_means=self.put_means,
            move=self.move,
            submit=submit,
            folder=self.folder / "embedding",
            settings=JobSettings(poll_s=0.02),
        )
        asyncio.run(move.to(release))


def test_crops_at_hand_are_embedded_again_before_the_gallery_moves(tmp_path: Path, tiny_release: Release) -> None:
    images = [write_crop(tmp_path / f"{number}.jpg", number) for number in range(3)]
    tracklets, qualities = (7, 7, 9), (1.0, 0.5, 1.0)
    crops = [StoredCrop(tracklets[n], tmp_path / f"{n}.jpg", qualities[n]) for n in range(3)]
    moved = Moved(tmp_path, crops)
    moved.to(tiny_release)
    assert moved.told == ["means tiny-1-0", "move tiny-1-0"]
    one, other, alone = OnnxEmbedder(tiny_release).embed(np.stack(images))
    mean = one + 0.5 * other
    assert moved.means[7] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)
    assert moved.means[9] == pytest.approx(alone, abs=1e-5)
    assert not (tmp_path / "embedding").exists()


def test_without_crops_alignment_alone_moves_the_gallery(tmp_path: Path, tiny_release: Release) -> None:
    moved = Moved(tmp_path)
    moved.to(tiny_release)
    assert moved.told == ["move tiny-1-0"]


def test_an_embedding_that_fails_does_not_keep_the_gallery(tmp_path: Path, tiny_release: Release) -> None:
    write_crop(tmp_path / "0.jpg", 0)
    moved = Moved(tmp_path, [StoredCrop(7, tmp_path / "0.jpg", 1.0)])
    (tiny_release.folder / "model.onnx").write_bytes(b"damaged")
    moved.to(tiny_release)
    assert moved.told == ["move tiny-1-0"]


def test_crops_that_are_gone_or_damaged_are_left_out(tmp_path: Path, tiny_release: Release) -> None:
    write_crop(tmp_path / "good.jpg", 0)
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8 no picture")
    cv2.imwrite(str(tmp_path / "small.jpg"), np.zeros((8, 8, 3), np.uint8))
    names = ("good", "bad", "small", "gone")
    crops = [StoredCrop(key, tmp_path / f"{name}.jpg", 1.0) for key, name in enumerate(names)]
    keys, means_TD = embed_tracklets(OnnxEmbedder(tiny_release), crops)
    assert (keys.tolist(), means_TD.shape) == ([0], (1, 8))
