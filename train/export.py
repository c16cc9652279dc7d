"""From a network to a release: the model graph, its weights, golden crops and the manifest, in one sealed folder.

The folder appears whole or not at all. Before it does, ONNX Runtime must reproduce what torch computes.
"""

from __future__ import annotations

import copy
import importlib.metadata
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import safetensors.torch
import torch

from reid.embedder import OnnxEmbedder
from reid.embedding import normalise
from reid.errors import ReleaseError, ReleaseMismatchError
from reid.files import write_atomic, write_folder_atomic
from reid.release import (
    FILES,
    GOLDEN_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    OPTIONAL_FILES,
    TRAINABLE_FILE,
    WEIGHTS_FILE,
    Golden,
    Release,
    Thresholds,
    load_release,
    space_id,
    write_alignment,
    write_release,
)
from reid.types import FloatArray, check_name
from simulation.golden import golden_crops
from train.images import images_of
from train.network import Network
from train.onnx_graph import build_graph, weights_of

NUM_GOLDEN_CROPS = 8
GOLDEN_TOLERANCE = 1e-4
"""Largest difference between a number of a unit-norm embedding in torch and in ONNX Runtime, both in fp32."""


@dataclass(frozen=True, kw_only=True)
class ReleaseDescription:
    """What a release says about itself beside its weights.

    Attributes:
        name: Of the line of releases, for example `osnet_x0_25_msmt17`.
        version: Within the line.
        thresholds: Similarities for matching, and how they were found.
        provenance: Data, command, commit, date: whatever it takes to make this release again.
        metrics: Scores by name; `provenance` says how they were obtained.
        parent: Space of the release that this one was trained from, or None.

    Raises:
        ConfigError: Name or version is not fit for file names and logs.
    """

    name: str
    version: str
    thresholds: Thresholds
    provenance: Mapping[str, str]
    metrics: Mapping[str, float] = field(default_factory=dict)
    parent: str | None = None

    def __post_init__(self) -> None:
        """Check the names."""
        check_name(self.name, what="release name")
        check_name(self.version, what="release version")


def as_release_name(text: str) -> str:
    """The nearest text that is fit for a release's name."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-._")[:64] or "release"


def made_now() -> dict[str, str]:
    """Date and versions, for a release's provenance."""
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "osprey": importlib.metadata.version("osprey-reid"),
        "torch": torch.__version__,
    }


def export_release(
    network: Network,
    folder: Path,
    description: ReleaseDescription,
    *,
    alignment: FloatArray | None = None,
    force: bool = False,
) -> Release:
    """Write a network as a release.

    Args:
        network: As trained, not folded; left as it is.
        folder: Made anew; its parent must exist.
        description: Name, version, thresholds and origin.
        alignment: (D, D) float32 from the parent's space, orthogonal; None for a release without a parent.
        force: Replace a release that is there already.

    Returns:
        The verified release.

    Raises:
        ReleaseError: The folder has content, and `force` is not given or the content is no release.
        ReleaseMismatchError: ONNX Runtime does not reproduce what torch computes.
        EmbeddingError: The network's output is zero or not finite on a golden crop.
        OSError: The parent folder is missing, or the disk is full.
    """
    check_target(folder, force=force)
    reference = copy.deepcopy(network).cpu().float().eval()
    with write_folder_atomic(folder, replace=force) as temporary:
        model = build_graph(reference)
        write_atomic(temporary / MODEL_FILE, model.SerializeToString(deterministic=True))
        write_atomic(temporary / WEIGHTS_FILE, safetensors.numpy.save(weights_of(model)))
        write_atomic(temporary / TRAINABLE_FILE, trainable_weights(reference))
        _write_golden(temporary / GOLDEN_FILE, _make_golden(reference))
        if alignment is not None:
            write_alignment(temporary, alignment)
        release = write_release(temporary, _manifest_values(reference, description, temporary / WEIGHTS_FILE))
        _check_parity(release)
    return load_release(folder)


def trainable_weights(network: Network) -> bytes:
    """Everything that training goes on from, without a classifier, as the content of a release's `TRAINABLE_FILE`."""
    bare = copy.deepcopy(network).cpu()
    bare.reset_classifier(0)
    # Safetensors wants the plain order of memory, and training leaves weights channels last.
    weights = {name: weight.contiguous() for name, weight in bare.state_dict().items()}
    content: bytes = safetensors.torch.save(weights)
    return content


def check_target(folder: Path, *, force: bool) -> None:
    """Refuse to overwrite, and even with `force` to delete anything that no export has written.

    Raises:
        ReleaseError: The folder has content, and `force` is not given or the content is no release.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ReleaseError(f"{folder} is a file: give a folder for the release")
    content = {path.name for path in folder.iterdir()}
    if content and not force:
        raise ReleaseError(f"{folder} is not empty: give another folder, or --force to replace the release in it")
    foreign = sorted(content - {*FILES, *OPTIONAL_FILES, MANIFEST_FILE})
    if foreign:
        raise ReleaseError(f"{folder} holds more than a release ({foreign[0]}): move that away first, or give another")


def _make_golden(reference: Network) -> Golden:
    crops = golden_crops(NUM_GOLDEN_CROPS)
    with torch.inference_mode():
        feats_BD = reference(images_of(crops, torch.device("cpu")))
    return Golden(crops=crops, embeddings=normalise(feats_BD.numpy()))


def _write_golden(path: Path, golden: Golden) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, crops=golden.crops, embeddings=golden.embeddings)
    write_atomic(path, buffer.getvalue())


def _manifest_values(network: Network, description: ReleaseDescription, weights_path: Path) -> dict[str, Any]:
    return {
        "name": description.name,
        "version": description.version,
        "space": space_id(description.name, description.version, weights_path),
        "parent": description.parent,
        "architecture": network.architecture.name,
        "dim": network.feature_dim,
        "thresholds": description.thresholds.model_dump(),
        "metrics": dict(description.metrics),
        "provenance": dict(description.provenance),
    }


def _check_parity(release: Release) -> None:
    came = OnnxEmbedder(release).embed(release.golden.crops)
    difference = float(np.abs(came - release.golden.embeddings).max())
    if not difference <= GOLDEN_TOLERANCE:
        raise ReleaseMismatchError(
            f"{release.ref}: ONNX Runtime differs from torch by {difference:.2g} on the golden crops, "
            f"wanted at most {GOLDEN_TOLERANCE:g}; nothing was written"
        )
