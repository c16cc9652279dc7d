import numpy as np

from simulation.optics import Optics, OpticsConfig, draw_optics

GREY = np.full((60, 80, 3), 128, dtype=np.uint8)
CLEAN = OpticsConfig(gains=(1.0, 1.0, 1.0), gamma=1.0, blur_px=0.3, noise=0.0)


def optics(**faults) -> Optics:
    config = OpticsConfig(**{**vars(CLEAN), **faults})
    return Optics(config, np.random.default_rng(0), width_px=80, height_px=60)


def test_a_perfect_camera_changes_nothing():
    assert np.abs(optics().apply(GREY, 3).astype(int) - GREY).max() <= 1


def test_a_warm_camera_shifts_the_colours():
    blue, _, red = optics(gains=(0.8, 1.0, 1.2)).apply(GREY, 0).mean(axis=(0, 1))
    assert blue < 110
    assert red > 145


def test_noise_has_the_configured_strength_and_changes_with_the_frame():
    noisy = optics(noise=5.0)
    first, second = noisy.apply(GREY, 0), noisy.apply(GREY, 1)
    assert 4.0 < first.astype(float).std() < 6.0
    assert not np.array_equal(first, second)
    assert np.array_equal(first, noisy.apply(GREY, 0))


def test_extremes_stay_in_range():
    bright = optics(gains=(3.0, 3.0, 3.0), noise=20.0).apply(np.full_like(GREY, 250), 0)
    assert bright.min() > 150


def test_harder_sites_have_more_different_cameras():
    def spread(difficulty):
        rng = np.random.default_rng(0)
        return np.std([draw_optics(rng, difficulty=difficulty).gains for _ in range(30)])

    assert spread("easy") < spread("medium") < spread("hard")
