"""Checkpoints: reading public ones and ours, writing ours.

A public checkpoint is a bare state dict, or `{"state_dict": …}`, its keys perhaps prefixed `module.`. One of ours is
`{"format": 1, "architecture": …, "state_dict": …, "training": …}`. Both are read with `weights_only=True`, so that a
file from elsewhere cannot run code. Weights that do not fit, key by key and shape by shape, are an error: a network
that silently keeps its random start looks like a bad method.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reid.files import write_atomic
from train.architectures import NAMES, as_ours, build_network
from train.errors import CheckpointError
from train.network import Network
from train.osnet import OSNet

SUPPORTED_FORMAT = 1
_WRAPPER_PREFIX = "module."
_CLASSIFIER_PREFIX = "classifier."
_OPTIONAL_SUFFIX = ".num_batches_tracked"
_NAMES_SHOWN = 4


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Content of a checkpoint file.

    Attributes:
        path: Where it was read; named in errors.
        state: Weights by name, without `module.`.
        architecture: Its name if the file says so (ours do), else "".
        training: What the trainer put beside the weights to go on later (epoch, optimiser …); empty in public files.
    """

    path: Path
    state: dict[str, Tensor]
    architecture: str = ""
    training: dict[str, Any] = field(default_factory=dict)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint file.

    Raises:
        CheckpointError: The file is missing, no checkpoint, holds anything but plain data and tensors, or its weights
            are not finite.
    """
    content = _unpickle(path)
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, wanted a state dict of tensors by name")
    if content.get("format", SUPPORTED_FORMAT) != SUPPORTED_FORMAT:
        raise CheckpointError(f"{path}: checkpoint format {content['format']!r}, this Osprey reads {SUPPORTED_FORMAT}")
    weights = content.get("state_dict", content)
    if not isinstance(weights, dict):
        raise CheckpointError(f"{path}: its 'state_dict' is a {type(weights).__name__}, wanted tensors by name")
    state = {str(name).removeprefix(_WRAPPER_PREFIX): weight for name, weight in weights.items()}
    _check_tensors(path, state)
    return Checkpoint(
        path=path,
        state=state,
        architecture=content.get("architecture", ""),
        training=content.get("training", {}),
    )


def load_network(checkpoint: Checkpoint, architecture: str = "", *, keep_classifier: bool = False) -> Network:
    """Build the network that a checkpoint holds the weights of.

    Args:
        checkpoint: What `read_checkpoint` gave.
        architecture: Its name; may be left out for checkpoints of ours, which know it.
        keep_classifier: Load the classifier too, with as many classes as it has; otherwise the network has none.

    Raises:
        ConfigError: Unknown architecture.
        CheckpointError: No architecture is given, or keys or shapes do not fit; the faults and the architecture that
            would fit are named.
    """
    name = architecture or checkpoint.architecture
    if not name:
        raise CheckpointError(f"{checkpoint.path} does not say its architecture: give one{_suggest(checkpoint.state)}")
    faults = _find_faults(name, checkpoint.state)
    if faults:
        raise CheckpointError(f"{checkpoint.path} does not fit {name}: {'; '.join(faults)}{_suggest(checkpoint.state)}")
    state = as_ours(checkpoint.state, name)
    if not keep_classifier:
        state = {key: weight for key, weight in state.items() if not key.startswith(_CLASSIFIER_PREFIX)}
    network = build_network(name, num_classes=_num_classes(state))
    # Only counters of seen batches can be missing here, see _find_faults.
    network.load_state_dict(state, strict=False)
    return network


def load_osnet(checkpoint: Checkpoint, architecture: str = "", *, keep_classifier: bool = False) -> OSNet:
    """As `load_network`, for what works on an OSNet's own layers.

    Raises:
        CheckpointError: It holds another network.
    """
    network = load_network(checkpoint, architecture, keep_classifier=keep_classifier)
    if not isinstance(network, OSNet):
        raise CheckpointError(f"{checkpoint.path} holds a {network.architecture.name}, wanted an OSNet: give another")
    return network


def save_checkpoint(path: Path, network: Network, *, training: Mapping[str, Any] | None = None) -> None:
    """Write a checkpoint of ours; the file appears whole or not at all.

    Args:
        path: The file, replaced if it exists.
        network: Its weights and its architecture's name are kept.
        training: Plain data and tensors for going on later, for example `{"epoch": 3, "optimiser": …}`.

    Raises:
        OSError: The folder is missing or the disk is full; an old file is then intact.
    """
    buffer = io.BytesIO()
    content = {
        "format": SUPPORTED_FORMAT,
        "architecture": network.architecture.name,
        "state_dict": network.state_dict(),
        "training": dict(training or {}),
    }
    torch.save(content, buffer)
    write_atomic(path, buffer.getvalue())


def _unpickle(path: Path) -> Any:
    if not path.is_file():
        raise CheckpointError(f"checkpoint {path} is missing or no file")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch raises many unrelated types, and advises what must not be done with a foreign file
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint: it is no PyTorch file, is damaged, "
            "or holds more than weights (then save its state_dict alone)"
        ) from None


def _check_tensors(path: Path, state: Mapping[str, Any]) -> None:
    if not state:
        raise CheckpointError(f"{path} holds no weights")
    foreign = [name for name, weight in state.items() if not isinstance(weight, Tensor)]
    if foreign:
        raise CheckpointError(f"{path} is no state dict: {_shorten(foreign)} are not tensors")
    broken = [name for name, weight in state.items() if not torch.isfinite(weight).all()]
    if broken:
        raise CheckpointError(f"{path}: weights that are not finite in {_shorten(broken)}; the training diverged")


def _find_faults(architecture: str, foreign: Mapping[str, Tensor]) -> list[str]:
    """What keeps the weights from loading; empty when they fit. Any classifier fits, and so does none."""
    state = as_ours(foreign, architecture)
    wanted = _shapes_of(architecture, _num_classes(state))
    missing = [name for name in wanted if name not in state and not name.endswith(_OPTIONAL_SUFFIX)]
    unexpected = [name for name in state if name not in wanted]
    misshaped = [
        f"{name} {tuple(state[name].shape)}, wanted {shape}"
        for name, shape in wanted.items()
        if name in state and tuple(state[name].shape) != shape
    ]
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": misshaped}
    return [f"{len(names)} {kind} ({_shorten(names)})" for kind, names in kinds.items() if names]


@cache
def _shapes_of(architecture: str, num_classes: int) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        network = build_network(architecture, num_classes=num_classes)
    return {name: tuple(weight.shape) for name, weight in network.state_dict().items()}


def _num_classes(state: Mapping[str, Tensor]) -> int:
    weight = state.get(f"{_CLASSIFIER_PREFIX}weight")
    return 0 if weight is None or weight.dim() == 0 else len(weight)


def _suggest(state: Mapping[str, Tensor]) -> str:
    fitting = [name for name in NAMES if not _find_faults(name, state)]
    return f"; it fits {fitting[0]}" if fitting else "; it fits no network that is known here"


def _shorten(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMES_SHOWN])
    return shown if len(names) <= _NAMES_SHOWN else f"{shown}, …"
