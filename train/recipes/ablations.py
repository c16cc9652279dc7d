"""Ablations that the papers show: a recipe for each row, at the budget of the method itself.

ECN's are in `train.recipes.transfer`. ISE without both parts is `cluster-contrast`, with both `ise`. OSNet's are
trained from scratch (table 5 of its paper): T streams, and how they are joined.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from train.adapt import AdaptSettings
from train.augment import AugmentSettings
from train.optimiser import OptimiserSettings
from train.osnet import COMPARED
from train.recipes.adaptation import ise
from train.supervised import Stage, SupervisedSettings

_WIDTH = "osnet_x0_25"


def ise_pli() -> AdaptSettings:
    """Return ISE with its supports, and without the label-preserving loss."""
    return _ise_with(label_preserving_weight=0.0)


def ise_lp() -> AdaptSettings:
    """Return ISE with the label-preserving loss alone: supports are made for it, and not contrasted."""
    return _ise_with(contrasts_supports=False)


def osnet_from_scratch(architecture: str = _WIDTH) -> SupervisedSettings:
    """Return a short run from scratch of one of the networks compared: small pictures first, as on a CPU."""
    return SupervisedSettings(
        architecture=architecture,
        stages=(
            Stage(num_epochs=12, height_px=128, width_px=64, num_ids=64, num_crops=1, triplet_weight=0),
            Stage(num_epochs=3, height_px=256, width_px=128, num_ids=16, num_crops=4, triplet_weight=1),
        ),
        optimiser=OptimiserSettings(kind="adamw", peak_lr=4e-3, weight_decay=0.02),
        augment=AugmentSettings(erase=0.25, erase_most=0.3),
    )


def _ise_with(**changes: float | bool) -> AdaptSettings:
    settings = ise()
    return settings.model_copy(update={"method": settings.method.model_copy(update=changes)})


def _is_ablation(architecture: str) -> bool:
    return architecture.startswith(f"{_WIDTH}_") and "small" not in architecture


ISE_ABLATIONS: dict[str, Callable[[], AdaptSettings]] = {"ise-pli": ise_pli, "ise-lp": ise_lp}
OSNET_ABLATIONS: dict[str, Callable[[], SupervisedSettings]] = {
    "osnet": osnet_from_scratch,
    **{
        name.replace(_WIDTH, "osnet").replace("_", "-"): partial(osnet_from_scratch, name)
        for name in COMPARED
        if _is_ablation(name)
    },
}
"""`osnet` itself, `osnet-t1` … `osnet-t3` and `osnet-gate-…`."""
