"""Recipes of adaptation with a labelled source. Each returns the whole config but the checkpoint to start from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from train.methods.ecn import EcnConfig
from train.methods.mar import MarConfig
from train.optimiser import OptimiserSettings
from train.styles.style import StyleKind, StyleSettings
from train.transfer import TransferSettings

_SHORT_EPOCHS = 20
_PAPER_EPOCHS = 60


def ecn() -> TransferSettings:
    """Return ECN at the short budget, 20 epochs of 50 steps of 64 + 64, in colours of other cameras.

    The network is one that finds people already, so the memory holds what is searched by, and starts from it. What the
    paper ties to the epoch is tied to the same share of the run.
    """
    return _short_ecn("colour")


def ecn_fourier() -> TransferSettings:
    """Return the same with Fourier amplitudes in place of colours."""
    return _short_ecn("fourier")


def ecn_stargan() -> TransferSettings:
    """Return the same with a StarGAN's pictures: the folder that `osprey-train style-transfer` left is given beside."""
    return _short_ecn("stargan")


def ecn_exemplar() -> TransferSettings:
    """Return ECN with exemplar invariance alone."""
    return _short_ecn("none", camera=False, neighbourhood=False)


def ecn_exemplar_camera() -> TransferSettings:
    """Return ECN with exemplar and camera invariance."""
    return _short_ecn("colour", neighbourhood=False)


def ecn_exemplar_neighbourhood() -> TransferSettings:
    """Return ECN with exemplar and neighbourhood invariance."""
    return _short_ecn("none", camera=False)


def ecn_source() -> TransferSettings:
    """Return what ECN's source alone does: its cross-entropy, and nothing of the site."""
    return _short_ecn("none", camera=False, target_weight=0.0)


def ecn_site() -> TransferSettings:
    """Return what ECN's invariances alone do: the source is seen, and its labels count for nothing."""
    return _short_ecn("colour", target_weight=1.0)


def ecn_paper() -> TransferSettings:
    """Return ECN as its paper trains, at OSNet's input, for a GPU: 60 epochs of 100 steps of 128 + 128.

    Its camera invariance wants a trained style: the folder that `osprey-train style-transfer` left.
    """
    return TransferSettings(
        method=EcnConfig(),
        style=StyleSettings(kind="stargan"),
        num_epochs=_PAPER_EPOCHS,
        num_iterations=100,
        num_source=128,
        num_target=128,
        heads_factor=10.0,
        optimiser=OptimiserSettings(
            kind="sgd", peak_lr=0.01, weight_decay=5e-4, warmup_share=0.0, schedule="step", drop_at=40 / 60
        ),
    )


def mar() -> TransferSettings:
    """Return MAR at the short budget, 20 epochs of 50 steps of 64 + 64."""
    return _short_mar()


def mar_no_discrimination() -> TransferSettings:
    """Return MAR without the discrimination that soft multilabels guide."""
    return _short_mar(discrimination_weight=0.0)


def mar_no_consistency() -> TransferSettings:
    """Return MAR without the consistency of soft multilabels between cameras."""
    return _short_mar(consistency_weight=0.0)


def mar_no_joint() -> TransferSettings:
    """Return MAR without the joint embedding of both domains."""
    return _short_mar(joint_weight=0.0)


def mar_source() -> TransferSettings:
    """Return what MAR's reference agents alone do: their cross-entropy on the source, and nothing of the site."""
    return _short_mar(discrimination_weight=0.0, consistency_weight=0.0, joint_weight=0.0)


def mar_paper() -> TransferSettings:
    """Return MAR as its paper trains, at OSNet's input, for a GPU: 20 epochs of 400 steps of 184 + 184.

    The paper starts from a ResNet-50 that was trained on the source (`--arch resnet50`), at 384x128.
    """
    return TransferSettings(
        method=MarConfig(),
        num_epochs=20,
        num_iterations=400,
        num_source=184,
        num_target=184,
        heads_factor=1.0,
        optimiser=OptimiserSettings(
            kind="sgd",
            peak_lr=2e-4,
            weight_decay=2.5e-2,
            warmup_share=0.0,
            schedule="step",
            drop_at=12 / 20,
            later_drops=(17 / 20,),
        ),
    )


def in_style_of(settings: TransferSettings, folder: str) -> TransferSettings:
    """Return the settings with the trained style of a folder in place of theirs."""
    style = {"kind": "stargan", "folder": folder}
    return TransferSettings.model_validate(settings.model_dump() | {"style": style})


def _short_ecn(style: StyleKind, **changes: Any) -> TransferSettings:
    pace = _PAPER_EPOCHS / _SHORT_EPOCHS
    return TransferSettings(
        method=EcnConfig(
            embedding_dim=0,
            starts_embedded=True,
            momentum_rate=0.01 * pace,
            neighbourhood_from=2,
            **changes,
        ),
        style=StyleSettings(kind=style),
        num_epochs=_SHORT_EPOCHS,
    )


def _short_mar(**changes: Any) -> TransferSettings:
    return TransferSettings(method=MarConfig(**changes), num_epochs=_SHORT_EPOCHS)


MAR_RECIPES: dict[str, Callable[[], TransferSettings]] = {
    "mar": mar,
    "mar-no-discrimination": mar_no_discrimination,
    "mar-no-consistency": mar_no_consistency,
    "mar-no-joint": mar_no_joint,
    "mar-source": mar_source,
    "mar-paper": mar_paper,
}
