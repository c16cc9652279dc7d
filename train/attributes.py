"""Attributes of persons: what a network, or a head on a network that stays as it is, learns from labelled pictures.

The head looks at unit-norm embeddings (`reid.attributes`), so that a server needs no picture to tell attributes. On a
network that stays as it is it is a logistic regression, and the release keeps its space: its old embeddings are good.

OSNet's paper (Zhou et al., ICCV 2019, arXiv 1905.00953) puts an attribute layer on the features and trains all of it
with the weighted multi-label loss. Deviation: the features are brought to unit norm first, and a fixed scale stands in
for it.

Shape letters: B batch, N pictures, D embedding, A attributes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from reid.attributes import LIKELY, AttributeHead, write_attributes
from reid.files import write_atomic, write_folder_atomic
from reid.release import ATTRIBUTES_FILE, FILES, OPTIONAL_FILES, Release, load_release, write_release
from reid.types import BoolArray, FloatArray, IntArray, UInt8Array
from train.attribute_scores import score_attributes
from train.datasets.pa100k import AttributeCrops
from train.embed import embed_crops
from train.errors import TrainingError
from train.evaluator import Evaluate
from train.export import check_target
from train.losses.weighted_bce import weighted_bce
from train.network import Network

_SCALE = 16.0
"""Stands for the norm that features had: a head that starts with small weights learns about as fast with it."""
_DECAY = 1e-5
"""Of the squared weights of a head that is fitted alone."""
_NUM_FIT_STEPS = 200


class AttributeTask:
    """See `train.picture_trainer.PictureTask`.

    Args:
        crops: Of the training part.
    """

    def __init__(self, crops: AttributeCrops) -> None:
        self.pictures: UInt8Array = crops.crops
        self.num_outputs = crops.labels_NA.shape[1]
        self._labels_NA = torch.from_numpy(crops.labels_NA.astype(np.float32))
        self._shares_A = self._labels_NA.mean(dim=0)

    def loss(self, classifier: nn.Linear, feats_BD: Tensor, rows_B: IntArray) -> Tensor:
        """The weighted multi-label loss of the attributes, in float32."""
        device = feats_BD.device
        logits = functional.linear(functional.normalize(feats_BD, dim=1), classifier.weight * _SCALE, classifier.bias)
        return weighted_bce(logits, self._labels_NA[rows_B].to(device), self._shares_A.to(device))


def head_of(network: Network, names: tuple[str, ...]) -> AttributeHead:
    """What the classifier of a network that learned an `AttributeTask` is as a head.

    Raises:
        TrainingError: It has no classifier of so many attributes.
    """
    classifier = network.classifier
    if classifier is None or classifier.out_features != len(names):
        raise TrainingError(f"this {network.architecture.name} has no classifier of {len(names)} attributes")
    weight, bias = (tensor.detach().float().cpu().numpy() for tensor in (classifier.weight * _SCALE, classifier.bias))
    return AttributeHead(names, weight, bias)


def fit_head(embeddings_ND: FloatArray, labels_NA: BoolArray, names: tuple[str, ...]) -> AttributeHead:
    """Fit a head to embeddings that stay as they are: logistic regression with the weighted loss.

    Args:
        embeddings_ND: Unit-norm float32.
        labels_NA: What is to be seen.
        names: A attributes.

    Raises:
        TrainingError: There is no picture, or the fit does not come to a finite end.
    """
    if len(embeddings_ND) == 0:
        raise TrainingError("no picture to learn attributes from")
    feats, labels = torch.from_numpy(embeddings_ND), torch.from_numpy(labels_NA.astype(np.float32))
    shares = labels.mean(dim=0)
    weight = torch.zeros(labels.shape[1], feats.shape[1], requires_grad=True)
    bias = torch.zeros(labels.shape[1], requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=_NUM_FIT_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = weighted_bce(functional.linear(feats, weight, bias), labels, shares) + _DECAY * weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    last = float(optimiser.step(loss).detach())  # type: ignore[no-untyped-call]
    if not np.isfinite([last, float(weight.detach().sum())]).all():
        raise TrainingError(f"the attribute head's fit ended at loss {last}: are the embeddings finite?")
    return AttributeHead(names, weight.detach().numpy(), bias.detach().numpy())


def score_head(head: AttributeHead, embeddings_ND: FloatArray, labels_NA: BoolArray) -> dict[str, float]:
    """Scores by name, see `train.attribute_scores.AttributeScores`."""
    return score_attributes(head.probabilities(embeddings_ND) >= LIKELY, labels_NA)._asdict()


def evaluator_of_attributes(crops: AttributeCrops, names: tuple[str, ...]) -> Evaluate:
    """Make what scores a network that learns an `AttributeTask`."""

    def evaluate(network: Network) -> dict[str, float]:
        embeddings = embed_crops(network, crops.crops, precision="fp32")
        return score_head(head_of(network, names), embeddings, crops.labels_NA)

    return evaluate


@dataclass(frozen=True, kw_only=True)
class DescribedBy:
    """What a release says about its head.

    Attributes:
        how: It was made, for example `learned from 80000 pictures`.
        scores: On the test part.
    """

    how: str
    scores: Mapping[str, float]


def add_attributes(
    release: Release, folder: Path, head: AttributeHead, origin: DescribedBy, *, force: bool = False
) -> Release:
    """Write a release anew with a head; its weights, and so its name, version and space, are as they were.

    Args:
        release: It, verified; left as it is.
        folder: Made anew; its parent must exist.
        head: For its embeddings; takes the place of one that it has.
        origin: For the manifest.
        force: Replace a release that is in the folder already, perhaps this one.

    Raises:
        ReleaseError: The folder has content, and `force` is not given or the content is no release.
        OSError: The parent folder is missing, or the disk is full.
    """
    check_target(folder, force=force)
    values = release.manifest.model_dump(exclude={"sha256"})
    values["metrics"] |= {f"attributes.{name}": score for name, score in origin.scores.items()}
    values["provenance"] |= {"attributes": f"{len(head.names)}, {origin.how}"}
    with write_folder_atomic(folder, replace=force) as temporary:
        for path in (release.folder / name for name in (*FILES, *OPTIONAL_FILES)):
            if path.is_file():
                write_atomic(temporary / path.name, path.read_bytes())
        write_attributes(temporary / ATTRIBUTES_FILE, head)
        write_release(temporary, values)
    return load_release(folder)
