"""The recipes of OSNet's paper and of its published weights: hundreds of epochs, for a GPU."""

from __future__ import annotations

from train.augment import AugmentSettings
from train.optimiser import OptimiserSettings
from train.supervised import Stage, SupervisedSettings

_AUGMENT = AugmentSettings(pad_share=1 / 16, brightness=0, contrast=0, colour_cast=0)
_NUM_FROZEN_EPOCHS = 10


def paper() -> SupervisedSettings:
    """Return the config of the published OSNet x1.0: 250 epochs from ImageNet weights, down a cosine."""
    return SupervisedSettings(
        architecture="osnet_x1_0",
        stages=_classifier_first(num_epochs=250, batch_size=64),
        optimiser=OptimiserSettings(kind="amsgrad", peak_lr=1.5e-3, weight_decay=5e-4, warmup_share=0.0),
        augment=_AUGMENT,
    )


def paper_x0_25() -> SupervisedSettings:
    """Return the config of the published OSNet x0.25: 180 epochs from ImageNet weights, the rate dropped every 80."""
    return SupervisedSettings(
        architecture="osnet_x0_25",
        stages=_classifier_first(num_epochs=180, batch_size=128),
        optimiser=OptimiserSettings(
            kind="amsgrad",
            peak_lr=3e-3,
            weight_decay=5e-4,
            warmup_share=0.0,
            schedule="step",
            drop_at=80 / 180,
            later_drops=(160 / 180,),
        ),
        augment=_AUGMENT,
    )


def paper_from_scratch() -> SupervisedSettings:
    """Return the config of the paper without other weights: OSNet x1.0, 350 epochs of SGD (section 4.1)."""
    return SupervisedSettings(
        architecture="osnet_x1_0",
        stages=(_stage(num_epochs=350, batch_size=64),),
        optimiser=OptimiserSettings(
            kind="sgd",
            peak_lr=0.065,
            weight_decay=5e-4,
            warmup_share=0.0,
            schedule="step",
            drop_at=150 / 350,
            later_drops=(225 / 350, 300 / 350),
        ),
        augment=_AUGMENT,
    )


def _classifier_first(*, num_epochs: int, batch_size: int) -> tuple[Stage, Stage]:
    frozen = _stage(num_epochs=_NUM_FROZEN_EPOCHS, batch_size=batch_size).model_copy(update={"classifier_only": True})
    return frozen, _stage(num_epochs=num_epochs - _NUM_FROZEN_EPOCHS, batch_size=batch_size)


def _stage(*, num_epochs: int, batch_size: int) -> Stage:
    return Stage(num_epochs=num_epochs, num_ids=batch_size, num_crops=1, triplet_weight=0)
