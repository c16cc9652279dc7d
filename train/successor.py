"""The release of a complete run: its weights, the map from its parent's space, its threshold, its parent's graphs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reid.release import Release, Thresholds
from reid.types import FloatArray, UInt8Array
from train.adapted_release import AdaptedRun, calibrated_threshold, carried_threshold, describe
from train.attributes import DescribedBy, add_attributes
from train.checkpoint import load_network
from train.crop_cache import CachedCrops
from train.export import export_release
from train.inherited_graphs import inherit_graphs
from train.label_free_threshold import carry_threshold
from train.network import Network
from train.parent_link import aligned_cosine, embed_twice, fit_to_parent
from train.site import SiteCrops

_RANGE_CROPS = 256
"""Crops of the training part that ranges of int8 are taken from."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Crops that a release is calibrated and aligned on.

    Attributes:
        trained_on: uint8 (N, 256, 128, 3) BGR.
        held_out: Crops of the same site that were not trained on, or None.
        test: Labelled people whom the run did not see, or None.
    """

    trained_on: UInt8Array
    held_out: SiteCrops | None = None
    test: CachedCrops | None = None


def make_release(
    run: AdaptedRun,
    called: tuple[str, str],
    network: Network,
    folder: Path,
    evidence: Evidence,
    figures: Mapping[str, float],
) -> Release:
    """Export a run's network; a release that an earlier end of the same run left is replaced.

    Args:
        run: What was done.
        called: Name and version.
        network: As trained.
        folder: Of the release; its parent exists.
        evidence: What to align and calibrate on.
        figures: Of the last epoch.

    Raises:
        DatasetError: There are too few labelled people to calibrate on.
        ReleaseError: The folder holds something else.
        ReleaseMismatchError: ONNX Runtime does not reproduce what torch computes.
    """
    alignment, cosine, thresholds = _tie_to_parent(run, network, evidence)
    if evidence.test is not None:
        thresholds = calibrated_threshold(network, evidence.test, data_name=run.data_name)
    description = describe(run, *called, thresholds, figures, aligned=cosine)
    release = export_release(network, folder, description, alignment=alignment, force=True)
    release = _inherit_attributes(release, run.start.release, alignment)
    if run.start.release is None:
        return release
    crops = evidence.trained_on
    return inherit_graphs(release, run.start.release, np.array(crops[:: max(1, len(crops) // _RANGE_CROPS)]))


def _inherit_attributes(release: Release, parent: Release | None, alignment: FloatArray | None) -> Release:
    """Give a release its parent's head for attributes, led into the new space as old embeddings are."""
    if parent is None or parent.attributes is None or alignment is None:
        return release
    origin = DescribedBy(how=f"those of {parent.ref.space}, moved by the alignment and not learned again", scores={})
    return add_attributes(release, release.folder, parent.attributes.moved(alignment), origin, force=True)


def _tie_to_parent(
    run: AdaptedRun, network: Network, evidence: Evidence
) -> tuple[FloatArray | None, float | None, Thresholds]:
    """The map from the parent's space, how well it fits what was held out, and the threshold carried over."""
    thresholds = carried_threshold(run.start)
    if run.start.release is None:
        return None, None, thresholds
    parent = load_network(run.start.checkpoint, run.settings.architecture)
    alignment = fit_to_parent(embed_twice(parent, network, evidence.trained_on))
    held_out = evidence.held_out
    if held_out is None:
        return alignment, None, thresholds
    embedded = embed_twice(parent, network, held_out.crops, most=len(held_out.crops))
    thresholds = carry_threshold(run.start.release, held_out, embedded)
    return alignment, aligned_cosine(embedded, alignment), thresholds
