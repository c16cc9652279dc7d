import numpy as np
import pytest

from simulation.golden import golden_crops


def test_golden_crops_are_the_same_at_every_call():
    assert np.array_equal(golden_crops(3), golden_crops(3))


@pytest.mark.parametrize("count", [1, 8])
def test_golden_crops_are_network_input(count):
    crops = golden_crops(count)
    assert crops.shape == (count, 256, 128, 3)
    assert crops.dtype == np.uint8


def test_golden_crops_show_different_people():
    crops = golden_crops(8).astype(float)[:, 60:200, 40:90]
    differences = [np.abs(crops[a] - crops[b]).mean() for a in range(8) for b in range(a)]
    assert min(differences) > 8
