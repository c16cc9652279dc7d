"""What a run starts from: a release, or a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError

from reid.files import sha256_of
from reid.release import Release, load_release
from train.checkpoint import Checkpoint, read_checkpoint
from train.errors import CheckpointError


@dataclass(frozen=True, kw_only=True)
class Start:
    """Weights to start from, and where they come from.

    Attributes:
        checkpoint: The weights; those of a release know their architecture.
        sha256: Of the file that holds them.
        release: The release that they belong to; None for a bare checkpoint.
    """

    checkpoint: Checkpoint
    sha256: str
    release: Release | None = None


def read_start(path: Path) -> Start:
    """Read what a run starts from.

    Args:
        path: Folder of a release, or a checkpoint file.

    Raises:
        ReleaseError: The folder is no release, or one without trainable weights.
        CheckpointError: The file cannot be read as weights.
    """
    if not path.is_dir():
        return Start(checkpoint=read_checkpoint(path), sha256=sha256_of(path))
    release = load_release(path)
    weights = release.trainable_path
    try:
        state = safetensors.torch.load_file(weights)
    except SafetensorError as error:
        raise CheckpointError(f"{weights} is no safetensors file ({error}): export the release again") from None
    checkpoint = Checkpoint(path=weights, state=state, architecture=release.manifest.architecture)
    return Start(checkpoint=checkpoint, sha256=sha256_of(weights), release=release)
