from __future__ import annotations

import numpy as np
import pytest
import torch
from fakes_network import seeded_osnet
from torch import nn

from train.fold import PIXEL_MEAN, fold_for_inference
from train.images import images_of


@pytest.mark.parametrize("architecture", ["osnet_x0_25", "osnet_ibn_x0_25", "osnet_ain_x0_25"])
def test_folded_network_computes_from_crops_what_the_network_computes_from_images(architecture: str) -> None:
    network = seeded_osnet(architecture)
    crops = np.random.default_rng(0).integers(0, 256, (3, 64, 32, 3), dtype=np.uint8)
    with torch.inference_mode():
        wanted = network(images_of(crops, torch.device("cpu")))
        came = fold_for_inference(network)(torch.from_numpy(crops))
    torch.testing.assert_close(came, wanted, atol=2e-5, rtol=1e-4)


def test_no_batch_norm_and_no_classifier_is_left() -> None:
    folded = fold_for_inference(seeded_osnet(num_classes=3))
    assert not any(isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) for module in folded.modules())
    assert folded.classifier is None


def test_weights_keep_their_names_and_gain_a_bias_where_a_norm_was() -> None:
    network = seeded_osnet()
    folded, unfolded = set(fold_for_inference(network).state_dict()), set(network.state_dict())
    gained = folded - unfolded
    assert gained - {PIXEL_MEAN} == {name for name in gained if name.endswith((".conv.bias", ".conv2.bias"))}
    assert {"conv1.conv.bias", "conv2.0.conv2a.conv2.bias", PIXEL_MEAN} <= gained
    assert all(".bn." in name or name.startswith("fc.1.") for name in unfolded - folded)


def test_the_network_itself_is_left_as_it_is() -> None:
    network = seeded_osnet(num_classes=3).train()
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    fold_for_inference(network)
    assert network.training
    assert all(torch.equal(weight, before[name]) for name, weight in network.state_dict().items())
