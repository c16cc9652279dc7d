"""The recipes of the release that ships: OSNet x0.25 from scratch, short enough for two CPU cores.

Two runs: `default_release` learns at small input sizes, `default_release_full_size` goes on from its weights.
"""

from __future__ import annotations

from train.augment import AugmentSettings
from train.optimiser import OptimiserSettings
from train.supervised import Stage, SupervisedSettings


def default_release() -> SupervisedSettings:
    """Return the config of the default release.

    From scratch, cross-entropy on batches of 64 different people learns much faster than batches of 16 people with a
    triplet loss, which only pays once the features tell people apart; so it comes last. Market-1501 crops are stored at
    128x64, so most epochs lose nothing that matters by running at that size or less, and cost a quarter. The last
    epochs run at the size the network is used at, which its norms have to get used to.
    """
    return SupervisedSettings(
        architecture="osnet_x0_25",
        stages=(
            Stage(num_epochs=6, height_px=96, width_px=48, num_ids=64, num_crops=1, triplet_weight=0),
            Stage(num_epochs=8, height_px=128, width_px=64, num_ids=64, num_crops=1, triplet_weight=0),
            Stage(num_epochs=3, height_px=128, width_px=64, num_ids=16, num_crops=4, triplet_weight=1),
            Stage(num_epochs=2, height_px=256, width_px=128, num_ids=16, num_crops=4, triplet_weight=1),
        ),
        optimiser=OptimiserSettings(kind="adamw", peak_lr=4e-3, weight_decay=0.02),
        augment=AugmentSettings(erase=0.25, erase_most=0.3),
    )


def default_release_full_size() -> SupervisedSettings:
    """Return the config of the run that follows: a few epochs at full size, from the weights of `default_release`.

    The rate of the first run has all but run out when its input grows, and a network that is shown people twice as
    large has more to change than that allows.
    """
    return SupervisedSettings(
        architecture="osnet_x0_25",
        keep_classifier=True,
        stages=(Stage(num_epochs=3, height_px=256, width_px=128, num_ids=16, num_crops=4, triplet_weight=1),),
        optimiser=OptimiserSettings(kind="adamw", peak_lr=1e-3, weight_decay=0.02, warmup_share=0.1),
        augment=AugmentSettings(erase=0.25, erase_most=0.3),
    )
