"""A site of coloured people for the gate: each wears eight bands of colour, and one band is different in every crop."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper
from releases import DIM, tiny_model

from reid.alignment import fit_alignment
from reid.embedding import normalise
from reid.release import GOLDEN_FILE, MODEL_FILE, WEIGHTS_FILE, Release, load_release, write_alignment, write_release
from reid.snapshot import CROPS_FOLDER, Snapshot, SnapshotCrop, write_snapshot
from reid.types import FloatArray, UInt8Array

PARENT_SPACE = "bands-1"
NUM_PEOPLE = 16
NUM_CAMERAS = 2
CROPS_PER_TRACKLET = 3
_BAND_PX = 32


def weights(*, distraction: float) -> FloatArray:
    """(24, DIM): mixes the bands' colours; the last band, which tells nothing, counts by `distraction`."""
    mixed = np.random.default_rng(0).standard_normal((24, DIM)).astype(np.float32)
    mixed[-3:] *= distraction
    return mixed


def person_crops(num_crops: int, *, pid: int, seed: int) -> UInt8Array:
    """(num_crops, 256, 128, 3) pictures of one person."""
    bands = np.random.default_rng([1, pid]).uniform(0, 255, (8, 3))
    rng = np.random.default_rng([2, pid, seed])
    pictures = []
    for _ in range(num_crops):
        bands[-1] = rng.uniform(0, 255, 3)
        pictures.append(np.repeat(np.clip(bands + rng.normal(0, 12, (8, 3)), 0, 255), _BAND_PX, axis=0))
    return np.repeat(np.array(pictures, dtype=np.uint8)[:, :, None], 128, axis=2)


def write_coloured_snapshot(folder: Path, *, parent: str = PARENT_SPACE) -> Snapshot:
    """Everybody once in each camera and part, all in view at once."""
    (folder / CROPS_FOLDER).mkdir(parents=True)
    crops = []
    for number, (part, camera, pid) in enumerate(np.ndindex(2, NUM_CAMERAS, NUM_PEOPLE)):
        for place, picture in enumerate(person_crops(CROPS_PER_TRACKLET, pid=pid, seed=number)):
            path = f"{CROPS_FOLDER}/{number}-{place}.jpg"
            (folder / path).write_bytes(cv2.imencode(".jpg", picture)[1].tobytes())
            time_us = (part * 100 + place) * 1_000_000
            crops.append(SnapshotCrop(path, camera + 1, number, time_us, 0.9, "held_out" if part else "train"))
    cameras = tuple(("e1", f"c{number + 1}") for number in range(NUM_CAMERAS))
    none = np.empty((0, 2), dtype=np.int64)
    snapshot = Snapshot(folder, parent, 0, cameras, tuple(crops), none, none)
    write_snapshot(snapshot)
    return snapshot


def write_bands_release(folder: Path, *, distraction: float, parent: Release | None = None) -> Release:
    """A sealed release of `weights`; with a parent it is aligned to it."""
    folder.mkdir(parents=True)
    model = tiny_model()
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "weight")
    weight.CopyFrom(numpy_helper.from_array(weights(distraction=distraction), "weight"))
    onnx.save(model, folder / MODEL_FILE)
    (folder / WEIGHTS_FILE).write_bytes(b"not read by these tests")
    crops = np.concatenate([person_crops(4, pid=pid, seed=99) for pid in range(NUM_PEOPLE)])
    embeddings = embed(folder / MODEL_FILE, crops)
    np.savez_compressed(folder / GOLDEN_FILE, crops=crops[:4], embeddings=embeddings[:4])
    if parent is not None:
        write_alignment(folder, fit_alignment(embed(parent.model_path, crops), embeddings))
    values = {
        "name": "bands",
        "version": folder.name,
        "space": PARENT_SPACE if parent is None else f"bands-{folder.name}",
        "parent": None if parent is None else parent.manifest.space,
        "architecture": "bands",
        "dim": DIM,
        "thresholds": {"match": 0.9, "how": "chosen for tests"},
        "provenance": {"data": "none"},
    }
    return write_release(folder, values)


def seal_again(release: Release, **changes: object) -> Release:
    """Write the manifest of a release anew, with some values changed."""
    write_release(release.folder, {**release.manifest.model_dump(exclude={"sha256"}), **changes})
    return load_release(release.folder)


def embed(model_path: Path, crops: UInt8Array) -> FloatArray:
    """Unit-norm embeddings by a model graph."""
    session = ort.InferenceSession(str(model_path), providers=["CPUExecutionProvider"])
    return normalise(session.run(None, {"crops": crops})[0])
