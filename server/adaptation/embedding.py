"""Embeds tracklets again from their crops, in a process of its own: `python -m server.adaptation.embedding …`.

    python -m server.adaptation.embedding RELEASE CROPS.json OUT.npz

CROPS.json lists [tracklet_key, path, quality]; OUT.npz gets `tracklet_keys` int64 (T,) and `embeddings` float32 (T, D),
the mean over each tracklet's crops, weighted by quality as everywhere. A crop that is gone or damaged is left out.

Letters: N crops, T tracklets, D embedding.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path

import cv2
import numpy as np

from reid.cli import print_error
from reid.embedder import Embedder, OnnxEmbedder
from reid.embedding import normalise
from reid.errors import OspreyError
from reid.files import fill_atomic
from reid.preprocess import INPUT_HEIGHT_PX, INPUT_WIDTH_PX
from reid.release import load_release
from reid.types import FloatArray, IntArray, UInt8Array
from server.crops.store import StoredCrop

_BATCH = 32
_LEAST_WEIGHT = 0.01
EXIT_FAILED = 1


def embed_tracklets(embedder: Embedder, crops: Sequence[StoredCrop]) -> tuple[IntArray, FloatArray]:
    """Mean embeddings of tracklets.

    Args:
        embedder: Of the release whose space is wanted.
        crops: In any order.

    Returns:
        int64 (T,) keys in rising order, and float32 (T, D), unit norm; tracklets without a readable crop are left out.
    """
    sums: dict[int, FloatArray] = {}
    readable = ((crop, image) for crop in crops if (image := read_crop(crop.path)) is not None)
    while batch := list(islice(readable, _BATCH)):
        rows_ND = embedder.embed(np.stack([image for _, image in batch]))
        for (crop, _), row in zip(batch, rows_ND, strict=True):
            weighted = row * np.float32(max(crop.quality, _LEAST_WEIGHT))
            sums[crop.tracklet] = sums.get(crop.tracklet, np.zeros_like(row)) + weighted
    keys = sorted(key for key, total in sums.items() if np.linalg.norm(total) > 0)
    means_TD = np.stack([sums[key] for key in keys]) if keys else np.zeros((0, embedder.dim), np.float32)
    return np.array(keys, dtype=np.int64), normalise(means_TD) if keys else means_TD


def read_crop(path: Path) -> UInt8Array | None:
    """A crop as the network takes it, uint8 (256, 128, 3) BGR; None if it is gone or damaged."""
    try:
        image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error):
        return None
    if image is None or image.shape != (INPUT_HEIGHT_PX, INPUT_WIDTH_PX, 3):
        return None
    return image.astype(np.uint8, copy=False)


def read_means(path: Path, *, batch: int) -> Iterator[dict[int, FloatArray]]:
    """What was written, some tracklets at a time: tracklet_key -> (D,) float32, unit norm.

    Raises:
        OSError: There is no such file.
        ValueError: It is damaged.
    """
    with np.load(path) as stored:
        pairs = zip(stored["tracklet_keys"].tolist(), stored["embeddings"].astype(np.float32), strict=True)
        for _, group in groupby(enumerate(pairs), key=lambda item: item[0] // batch):
            yield dict(map(itemgetter(1), group))


def main(release: str, listing: str, out: str) -> None:
    """Embed what a file lists.

    Raises:
        OspreyError: The release cannot be run.
        OSError: A file cannot be read or written.
    """
    rows = json.loads(Path(listing).read_text(encoding="utf-8"))
    crops = [StoredCrop(tracklet, Path(path), quality) for tracklet, path, quality in rows]
    keys, embeddings = embed_tracklets(OnnxEmbedder(load_release(Path(release))), crops)
    with fill_atomic(Path(out)) as temporary, temporary.open("wb") as file:
        np.savez(file, tracklet_keys=keys, embeddings=embeddings)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (OspreyError, OSError) as error:
        print_error(str(error))
        sys.exit(EXIT_FAILED)
