"""A release: one set of weights as a folder that edge and server verify before they use it.

    model.onnx            `crops` uint8 (N, 256, 128, 3) BGR -> `embeddings` float32 (N, D), not normalised
    weights.safetensors   the folded weights, by the parameter names that model.onnx uses (TensorRT refits from these)
    golden.npz            `crops` uint8 (G, 256, 128, 3) from the simulated site, `embeddings` float32 (G, D), unit norm
    manifest.json         what this is, how it was made, and the sha256 of every other file
    model_fp16.onnx       optional: the same graph in half precision, for engines that take precision from the graph
    model_int8.onnx       optional: the same graph with its layers quantised to 8 bits
    trainable.safetensors optional: the weights before folding, to train further from. Edge and server do without it, so
                          it stays behind when a release is sent to an edge
    alignment.npz         optional: `matrix` float32 (D, D), orthogonal: rows of the parent's space times it are
                          comparable with embeddings of this release. It stays behind, too
    attributes.npz        optional: reads attributes off embeddings, see `reid.attributes`. It stays behind, too

All graphs of a release are of the same weights and so of one space. A folder whose content differs from its manifest is
refused, whole; one that lacks an optional file which the manifest names is right.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
from pydantic import Field

from reid.alignment import is_orthogonal
from reid.attributes import AttributeHead, read_attributes
from reid.errors import ConfigError, ReleaseError, ReleaseMismatchError
from reid.files import sha256_of, write_json_atomic
from reid.preprocess import INPUT_HEIGHT_PX, INPUT_WIDTH_PX
from reid.settings import Settings, parse_settings
from reid.types import FloatArray, ReleaseRef, UInt8Array

Precision = Literal["fp32", "bf16", "fp16", "int8"]
MODEL_FILES: dict[Precision, str] = {"fp32": "model.onnx", "fp16": "model_fp16.onnx", "int8": "model_int8.onnx"}
"""Graphs of one release by precision, the first of which every release has; bf16 is computed from that one."""
MODEL_FILE = MODEL_FILES["fp32"]
WEIGHTS_FILE = "weights.safetensors"
GOLDEN_FILE = "golden.npz"
MANIFEST_FILE = "manifest.json"
FILES = (MODEL_FILE, WEIGHTS_FILE, GOLDEN_FILE)
TRAINABLE_FILE = "trainable.safetensors"
ALIGNMENT_FILE = "alignment.npz"
ATTRIBUTES_FILE = "attributes.npz"
OPTIONAL_FILES = (TRAINABLE_FILE, MODEL_FILES["fp16"], MODEL_FILES["int8"], ALIGNMENT_FILE, ATTRIBUTES_FILE)
"""May be left out when a release is handed on: a manifest that names one is right without it too."""
SUPPORTED_FORMAT = 1

DEFAULT_GOLDEN_COSINE: dict[Precision, float] = {"fp32": 0.9999, "bf16": 0.995, "fp16": 0.999, "int8": 0.98}


class Thresholds(Settings):
    """Cosine similarities, calibrated for one release."""

    match: float = Field(ge=-1, le=1)
    """Two tracklets this similar are taken for one person."""
    how: str
    """Data and rule by which `match` was chosen."""


class Manifest(Settings):
    """Content of `manifest.json`."""

    format: Literal[1] = 1
    name: str = Field(min_length=1)
    version: str = Field(min_length=1)
    space: str = Field(min_length=1)
    parent: str | None = None
    """Space of the release that this one was trained from."""
    architecture: str
    """For example `osnet_x0_25`."""
    dim: int = Field(gt=0, le=4096)
    input_height_px: Literal[256] = 256
    input_width_px: Literal[128] = 128
    interpolation: Literal["area-down-linear-up"] = "area-down-linear-up"
    thresholds: Thresholds
    golden_cosine: dict[Precision, float] = Field(default_factory=DEFAULT_GOLDEN_COSINE.copy)
    """Least cosine to the expected golden embeddings, by precision of the engine."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """Scores, by name; `provenance` says how they were obtained."""
    provenance: dict[str, str]
    """Data, command, commit, date: whatever it takes to make this release again."""
    sha256: dict[str, str]
    """Of every other file in the folder, hexadecimal."""


@dataclass(frozen=True)
class Golden:
    """Crops with the embeddings that every engine of a release must reproduce.

    Attributes:
        crops: uint8 (G, 256, 128, 3) BGR.
        embeddings: float32 (G, D), unit norm.
    """

    crops: UInt8Array
    embeddings: FloatArray


@dataclass(frozen=True)
class Release:
    """A verified release folder. Make one with `load_release`."""

    folder: Path
    manifest: Manifest

    @property
    def ref(self) -> ReleaseRef:
        """Its name, version and space."""
        return ReleaseRef(name=self.manifest.name, version=self.manifest.version, space=self.manifest.space)

    @property
    def model_path(self) -> Path:
        """The ONNX file in fp32."""
        return self.folder / MODEL_FILE

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """Precisions that it has a graph of: fp32, and what was quantised and came along."""
        return tuple(precision for precision, name in MODEL_FILES.items() if (self.folder / name).is_file())

    def model_path_in(self, precision: Precision) -> Path:
        """The ONNX file from which an engine of a precision is made; bf16 is computed from the one in fp32.

        Raises:
            ReleaseError: The release came without it.
        """
        path = self.folder / MODEL_FILES.get(precision, MODEL_FILE)
        if not path.is_file():
            raise ReleaseError(
                f"{self.folder} cannot run in {precision}: it has no {path.name}; take the release where it was made, "
                f"or make that graph with 'osprey-train quantise --precision {precision}'"
            )
        return path

    @property
    def trainable_path(self) -> Path:
        """The weights to train further from.

        Raises:
            ReleaseError: The release came without them.
        """
        path = self.folder / TRAINABLE_FILE
        if not path.is_file():
            raise ReleaseError(
                f"{self.folder} cannot be trained further: it has no {TRAINABLE_FILE}; take the release where it was "
                "made, or export its checkpoint again"
            )
        return path

    @cached_property
    def golden(self) -> Golden:
        """The golden crops and their expected embeddings.

        Raises:
            ReleaseMismatchError: Their shapes are not those of the manifest.
        """
        with np.load(self.folder / GOLDEN_FILE, allow_pickle=False) as arrays:
            golden = Golden(crops=arrays["crops"], embeddings=arrays["embeddings"])
        num_crops = len(golden.crops)
        wanted = (num_crops, INPUT_HEIGHT_PX, INPUT_WIDTH_PX, 3), (num_crops, self.manifest.dim)
        if num_crops == 0 or (golden.crops.shape, golden.embeddings.shape) != wanted:
            came = golden.crops.shape, golden.embeddings.shape
            raise ReleaseMismatchError(f"{self.folder / GOLDEN_FILE}: shapes {came}, wanted {wanted}")
        return golden

    @cached_property
    def alignment(self) -> FloatArray | None:
        """The map from the parent's space into this release's, (D, D) float32; None where it came without one.

        Raises:
            ReleaseMismatchError: It is no orthogonal matrix of this release's dimension, or there is no parent.
        """
        path = self.folder / ALIGNMENT_FILE
        if not path.is_file():
            return None
        if self.manifest.parent is None:
            raise ReleaseMismatchError(f"{path}: aligned to a parent, but the manifest names none; export it again")
        return read_alignment(path, dim=self.manifest.dim)

    @cached_property
    def attributes(self) -> AttributeHead | None:
        """Reads attributes off this release's embeddings; None where it came without.

        Raises:
            ReleaseMismatchError: The file holds no head for embeddings of this release's dimension.
        """
        path = self.folder / ATTRIBUTES_FILE
        return read_attributes(path, dim=self.manifest.dim) if path.is_file() else None


def load_release(folder: Path) -> Release:
    """Read a release folder and verify every file against its manifest.

    Raises:
        ReleaseError: The folder, its manifest or a file that is not optional is missing or unreadable.
        ReleaseMismatchError: A file's hash differs from the manifest.
    """
    manifest = _read_manifest(folder)
    for name in (*FILES, *_optional_files_in(folder)):
        _verify_file(folder / name, manifest.sha256.get(name))
    return Release(folder=folder, manifest=manifest)


def write_release(folder: Path, manifest_values: Mapping[str, Any]) -> Release:
    """Seal a folder that already holds the model, the weights and the golden crops: hash them, write the manifest last.

    Args:
        folder: Holds the files named in `FILES`, and perhaps some of `OPTIONAL_FILES`.
        manifest_values: All of `Manifest` but `sha256`.

    Raises:
        ReleaseError: A file is missing.
        ConfigError: A manifest value is invalid.
    """
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise ReleaseError(f"{folder} cannot be sealed as a release: {', '.join(missing)} missing")
    hashes = {name: sha256_of(folder / name) for name in (*FILES, *_optional_files_in(folder))}
    manifest = parse_settings(Manifest, {**manifest_values, "sha256": hashes}, source=str(folder / MANIFEST_FILE))
    write_json_atomic(folder / MANIFEST_FILE, manifest.model_dump(mode="json"))
    return load_release(folder)


def read_alignment(path: Path, *, dim: int) -> FloatArray:
    """Read what `write_alignment` wrote.

    Raises:
        ReleaseMismatchError: It is no orthogonal matrix (dim, dim).
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            matrix = np.asarray(arrays["matrix"], dtype=np.float32)
    except (OSError, KeyError, ValueError, EOFError, BadZipFile) as error:
        raise ReleaseMismatchError(f"{path} holds no alignment: {error}; align the release again") from None
    if matrix.shape != (dim, dim):
        raise ReleaseMismatchError(f"{path}: alignment of shape {matrix.shape}, wanted {(dim, dim)}")
    if not is_orthogonal(matrix):
        raise ReleaseMismatchError(f"{path}: alignment is not orthogonal, so it would bend similarities; fit it again")
    return matrix


def write_alignment(folder: Path, matrix: FloatArray) -> None:
    """Put an alignment into a folder that is to be sealed as a release."""
    np.savez(folder / ALIGNMENT_FILE, matrix=matrix.astype(np.float32))


def space_id(name: str, version: str, weights_path: Path) -> str:
    """Name of the space of a set of weights: readable, and different whenever the weights are."""
    return f"{name}-{version}-{sha256_of(weights_path)[:8]}"


def _optional_files_in(folder: Path) -> list[str]:
    return [name for name in OPTIONAL_FILES if (folder / name).is_file()]


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise ReleaseError(f"{folder} is no release: {MANIFEST_FILE} is missing (make one with 'osprey-train export')")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ReleaseError(f"{path} is not readable as JSON: {error}") from None
    if not isinstance(values, dict) or values.get("format") != SUPPORTED_FORMAT:
        came = values.get("format") if isinstance(values, dict) else type(values).__name__
        raise ReleaseError(f"{path}: release format {came!r}, this Osprey reads format {SUPPORTED_FORMAT}")
    try:
        return parse_settings(Manifest, values, source=str(path))
    except ConfigError as error:
        raise ReleaseError(str(error)) from None


def _verify_file(path: Path, wanted: str | None) -> None:
    if wanted is None:
        raise ReleaseMismatchError(
            f"{path.parent / MANIFEST_FILE} has no sha256 for {path.name}: export the release again"
        )
    if not path.is_file():
        raise ReleaseError(f"release file {path} is missing: copy the whole folder again")
    came = sha256_of(path)
    if came != wanted:
        raise ReleaseMismatchError(
            f"{path} was altered or damaged: sha256 {came[:12]}…, manifest says {wanted[:12]}…; get the release again"
        )
