"""Recipes of adaptation without labels. Each returns the whole config but the checkpoint to start from."""

from __future__ import annotations

from train.adapt import AdaptSettings
from train.augment import AugmentSettings
from train.losses.compatibility import CompatibilityConfig
from train.methods.camera_aware import CameraAwareConfig
from train.methods.cluster_contrast import ClusterContrastConfig
from train.methods.ise import IseConfig
from train.optimiser import OptimiserSettings
from train.pseudo_labels import ClusterSettings


def cluster_contrast() -> AdaptSettings:
    """Return Cluster-Contrast at the short budget: 20 epochs of 50 steps of 64."""
    return AdaptSettings(method=ClusterContrastConfig())


def ise() -> AdaptSettings:
    """Return ISE at the same short budget."""
    return AdaptSettings(method=IseConfig())


def ise_source() -> AdaptSettings:
    """Return ISE with a labelled source, as much of it in each step as of the site."""
    return AdaptSettings(method=IseConfig(), num_source_ids=16)


def ise_released() -> AdaptSettings:
    """Return ISE with the factors of its authors' released code in place of the paper's."""
    return AdaptSettings(method=IseConfig(direction_scale=0.25, memory_from_supports=True))


def ise_plus() -> AdaptSettings:
    """Return ISE with what a site knows beside its crops, cameras and tracklets, and twice the short budget."""
    return AdaptSettings(
        method=IseConfig(direction_scale=0.25, memory_from_supports=True),
        camera_aware=CameraAwareConfig(weight=0.5),
        clusters=ClusterSettings(of="tracklets", centre_cameras=True, k1=12, k2=3, eps=0.5, min_samples=2),
        num_epochs=40,
        ema_decay=0.99,
        optimiser=OptimiserSettings(kind="adam", peak_lr=3.5e-4, weight_decay=5e-4, warmup_share=0.02),
    )


def refresh() -> AdaptSettings:
    """Return `ise_plus` for the few crops and the short time of a site's refresh: about a minute for a few hundred."""
    return ise_plus().model_copy(
        update={
            "num_epochs": 8,
            "num_passes": 2.0,
            "least_clusters": 4,
            "ema_decay": 0.95,
        }
    )


def compatible_with_parent(settings: AdaptSettings) -> AdaptSettings:
    """Return the settings with the compatibility term at the weight that measured best (docs/log.md)."""
    return settings.model_copy(update={"compatible": CompatibilityConfig(weight=0.5)})


def ise_market() -> AdaptSettings:
    """Return ISE as its paper trains on Market-1501, at OSNet's input: 70 epochs of 400 steps of 256, for a GPU."""
    return AdaptSettings(
        method=IseConfig(momentum=0.2, update_rule="hard", label_preserving_weight=0.1),
        clusters=ClusterSettings(eps=0.4),
        num_epochs=70,
        num_iterations=400,
        num_crops=16,
        optimiser=OptimiserSettings(
            kind="adam", peak_lr=3.5e-4, weight_decay=5e-4, warmup_share=0.0, schedule="step", drop_at=3 / 7
        ),
        augment=AugmentSettings(brightness=0, contrast=0, colour_cast=0),
    )
