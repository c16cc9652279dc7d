"""What everything around a network asks of it, so that a run, a checkpoint or a release may be of any that we have."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from reid.errors import ConfigError


class NamedArchitecture(Protocol):
    """Which network of its kind."""

    @property
    def name(self) -> str:
        """For example `osnet_x0_25`: what checkpoints and manifests say."""


@runtime_checkable
class FoldsNorms(Protocol):
    """A module that can do without its batch norms in evaluation mode."""

    def fold_norms(self) -> None:
        """Put each batch norm of this module itself into the layer before it, in place; once."""


class Network(nn.Module, ABC):
    """Images in, features out: the base of all that we train.

    The classifier is a part of the module so that checkpoints hold it, but `forward` stops before it: features are what
    every caller wants, and the trainer applies `classifier` to them.

    Args:
        architecture: Which one.
        feature_dim: Length of a feature.
    """

    def __init__(self, architecture: NamedArchitecture, *, feature_dim: int) -> None:
        super().__init__()
        self.architecture = architecture
        self.feature_dim = feature_dim
        self.classifier: nn.Linear | None = None

    @property
    @abstractmethod
    def pixel_conv(self) -> nn.Conv2d:
        """The first convolution, which takes pixels."""

    @abstractmethod
    def forward(self, images_B3HW: Tensor) -> Tensor:
        """Compute features.

        Args:
            images_B3HW: float (B, 3, 256, 128), RGB, normalised with ImageNet's mean and deviation.

        Returns:
            (B, feature_dim), not of unit norm; the same in training and test, up to what norms and dropout do.
        """

    def reset_classifier(self, num_classes: int) -> None:
        """Put a freshly initialised classifier in place; 0 classes for none."""
        self.classifier = nn.Linear(self.feature_dim, num_classes) if num_classes else None
        if self.classifier is not None:
            nn.init.normal_(self.classifier.weight, std=0.01)
            nn.init.zeros_(self.classifier.bias)


def unknown_architecture(name: str, known: Iterable[str]) -> ConfigError:
    """The error for a name that is none of the known ones; the nearest of them is named."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return ConfigError(f"unknown architecture {name!r}: {hint}known: {', '.join(names)}")
