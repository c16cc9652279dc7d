"""Recipes of a StarGAN on the cameras of a site. Each returns the whole config."""

from __future__ import annotations

from train.styles.stargan import StarganSettings


def stargan_light() -> StarganSettings:
    """Return a small residual generator at an eighth of a crop's size, 1,500 steps: some minutes of a CPU.

    At this size it changes light, tint and contrast over the picture, which is most of what cameras differ by.
    """
    return StarganSettings(
        height_px=32,
        channels=16,
        num_blocks=3,
        num_layers=3,
        is_residual=True,
        coarse_px=4,
        num_steps=1500,
        num_critic=2,
        peak_lr=5e-4,
        save_every=100,
    )


def stargan_paper() -> StarganSettings:
    """Return StarGAN as its paper trains, at half a crop's size, 200,000 steps of its discriminator: for a GPU."""
    return StarganSettings()
