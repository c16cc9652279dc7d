"""The recipe of the supervised bound: what labels would give at the budget that adaptation has without them."""

from __future__ import annotations

from train.augment import AugmentSettings
from train.optimiser import OptimiserSettings
from train.supervised import Stage, SupervisedSettings


def fine_tune() -> SupervisedSettings:
    """Return the config of a short run from a checkpoint: 20 epochs of 50 steps of 64, as `ise` and its like take.

    Optimiser, schedule and changes to crops are those of the adaptation recipes too, so that only the labels differ.
    """
    return SupervisedSettings(
        architecture="osnet_x0_25",
        stages=(Stage(num_epochs=20, num_iterations=50, num_ids=16, num_crops=4, triplet_weight=1),),
        optimiser=OptimiserSettings(
            kind="adam", peak_lr=3.5e-4, weight_decay=5e-4, warmup_share=0.0, schedule="step", drop_at=0.65
        ),
        augment=AugmentSettings(brightness=0, contrast=0, colour_cast=0),
    )
