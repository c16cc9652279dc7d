"""Telling kinds of things apart by a picture: the task that OSNet's paper sets on CIFAR-10 and CIFAR-100."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from reid.types import IntArray, UInt8Array
from train.datasets.cifar import CifarPart
from train.evaluator import Evaluate
from train.images import images_of
from train.network import Network

_BATCH = 500


class KindTask:
    """See `train.picture_trainer.PictureTask`.

    Args:
        part: To learn from.
        num_classes: Of the data set.
    """

    def __init__(self, part: CifarPart, num_classes: int) -> None:
        self.pictures: UInt8Array = part.pictures
        self.num_outputs = num_classes
        self._labels_N = torch.from_numpy(part.labels_N)

    def loss(self, classifier: nn.Linear, feats_BD: Tensor, rows_B: IntArray) -> Tensor:
        """Cross-entropy."""
        return functional.cross_entropy(classifier(feats_BD), self._labels_N[rows_B].to(feats_BD.device))


def evaluator_of_kinds(part: CifarPart) -> Evaluate:
    """Make what tells a network's `error`: the share of pictures that it takes for another kind."""

    def evaluate(network: Network) -> dict[str, float]:
        return {"error": float(np.mean(kinds_of(network, part.pictures) != part.labels_N))}

    return evaluate


def kinds_of(network: Network, pictures: UInt8Array) -> IntArray:
    """What a network takes pictures for.

    Args:
        network: With a classifier; its mode is as before afterwards.
        pictures: uint8 (N, H, W, 3) BGR.

    Returns:
        (N,) int64 classes.
    """
    classifier, was_training = network.classifier, network.training
    assert classifier is not None
    device = classifier.weight.device
    network.eval()
    with torch.inference_mode():
        starts = range(0, len(pictures), _BATCH)
        parts = [classifier(network(images_of(pictures[start : start + _BATCH], device))) for start in starts]
    network.train(was_training)
    return np.asarray(torch.cat(parts).argmax(dim=1).cpu().numpy(), dtype=np.int64)
