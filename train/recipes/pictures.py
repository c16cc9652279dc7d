"""Recipes of OSNet beyond re-identification: attributes of persons, and small pictures of things."""

from __future__ import annotations

from train.augment import AugmentSettings
from train.optimiser import OptimiserSettings
from train.picture_trainer import PictureSettings

_MIRROR_AND_SHIFT = AugmentSettings(brightness=0, contrast=0, colour_cast=0, erase=0)


def attributes_pa100k() -> PictureSettings:
    """Return OSNet x1.0 on PA-100K from scratch, as its paper trains it: 50 epochs of SGD, for a GPU."""
    return PictureSettings(
        architecture="osnet_x1_0",
        num_epochs=50,
        batch_size=64,
        optimiser=OptimiserSettings(
            kind="sgd",
            peak_lr=0.065,
            weight_decay=5e-4,
            warmup_share=0.0,
            schedule="step",
            drop_at=30 / 50,
            later_drops=(40 / 50,),
        ),
        augment=_MIRROR_AND_SHIFT,
    )


def attributes_fine_tune() -> PictureSettings:
    """Return a short run from the weights of a release, all of which change."""
    return PictureSettings(
        architecture="",
        num_epochs=10,
        optimiser=OptimiserSettings(kind="adamw", peak_lr=5e-4, weight_decay=0.02),
        augment=_MIRROR_AND_SHIFT,
    )


def cifar() -> PictureSettings:
    """Return the common schedule for CIFAR, which OSNet's paper follows: 200 epochs of SGD in batches of 128.

    Rate 0.1, a fifth of it after 60, 120 and 160 epochs; pictures are mirrored, and shifted by up to 4 pixels.
    Zagoruyko and Komodakis, Wide Residual Networks, BMVC 2016. The paper does not say which stem its network has on
    pictures of 32 pixels; ours keeps their size.
    """
    return PictureSettings(
        architecture="osnet_x1_0_small",
        num_epochs=200,
        batch_size=128,
        optimiser=OptimiserSettings(
            kind="sgd",
            peak_lr=0.1,
            weight_decay=5e-4,
            warmup_share=0.0,
            schedule="step",
            drop_at=60 / 200,
            later_drops=(120 / 200, 160 / 200),
            drop_factor=0.2,
        ),
        augment=_MIRROR_AND_SHIFT.model_copy(update={"pad_share": 4 / 32}),
    )


def cifar_deep() -> PictureSettings:
    """Return the same for the deeper network of the paper, with 3, 8 and 6 blocks in its stages."""
    return cifar().model_copy(update={"architecture": "osnet_x1_0_small_deep"})


def cifar_short() -> PictureSettings:
    """Return a run for a CPU: OSNet x0.25 for 10 epochs, down a cosine."""
    return cifar().model_copy(
        update={
            "architecture": "osnet_x0_25_small",
            "num_epochs": 10,
            "optimiser": OptimiserSettings(kind="sgd", peak_lr=0.1, weight_decay=5e-4),
        }
    )
