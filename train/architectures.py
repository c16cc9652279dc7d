"""Every network by the name that recipes, checkpoints and manifests know it by."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from train.network import Network, unknown_architecture
from train.osnet import ARCHITECTURES as OSNETS
from train.osnet import COMPARED, build_osnet
from train.resnet import RESNETS, ResNet, without_imagenet_head

NAMES = (*OSNETS, *RESNETS)
"""Those that a checkpoint is likely to be of; `train.osnet.COMPARED` has others, which only comparisons use."""


def build_network(architecture: str, *, num_classes: int = 0) -> Network:
    """Make a freshly initialised network.

    Args:
        architecture: One of `NAMES`, or of `train.osnet.COMPARED`.
        num_classes: Identities of the training set; 0 for no classifier.

    Raises:
        ConfigError: Unknown architecture; the nearest name and all others are named.
    """
    if architecture in OSNETS or architecture in COMPARED:
        return build_osnet(architecture, num_classes=num_classes)
    if architecture not in RESNETS:
        raise unknown_architecture(architecture, NAMES)
    return ResNet(RESNETS[architecture], num_classes=num_classes)


def as_ours(state: Mapping[str, Tensor], architecture: str) -> dict[str, Tensor]:
    """Weights of a public checkpoint under the names that the network has, as far as they are its own.

    Args:
        state: Weights by name.
        architecture: The network's.
    """
    return without_imagenet_head(state, RESNETS[architecture]) if architecture in RESNETS else dict(state)
