from __future__ import annotations

import pytest
import torch
from fakes_network import seeded_osnet

from reid.errors import ConfigError
from train.osnet import ARCHITECTURES, OSBlock, build_osnet


def state_names(architecture: str) -> set[str]:
    with torch.device("meta"):
        return set(build_osnet(architecture, num_classes=10).state_dict())


@pytest.mark.parametrize(
    ("architecture", "entries"),
    [("osnet_x1_0", 567), ("osnet_x0_25", 567), ("osnet_ibn_x1_0", 568), ("osnet_ain_x1_0", 552)],
)
def test_state_has_as_many_entries_as_published_checkpoints(architecture: str, entries: int) -> None:
    assert len(state_names(architecture)) == entries


@pytest.mark.parametrize(
    ("architecture", "name"),
    [
        ("osnet_x0_5", "conv2.0.conv2d.3.bn.running_var"),
        ("osnet_x0_5", "conv3.0.downsample.conv.weight"),
        ("osnet_x0_5", "conv2.2.0.conv.weight"),
        ("osnet_x0_5", "fc.1.running_mean"),
        ("osnet_ibn_x0_5", "conv2.1.IN.weight"),
        ("osnet_ain_x0_5", "conv3.1.IN.bias"),
        ("osnet_ain_x0_5", "conv4.0.conv2.3.layers.3.conv2.weight"),
        ("osnet_ain_x0_5", "pool3.0.bn.weight"),
    ],
)
def test_state_uses_the_published_names(architecture: str, name: str) -> None:
    assert name in state_names(architecture)


@pytest.mark.parametrize(
    ("architecture", "absent"),
    [
        ("osnet_ibn_x1_0", "conv1.bn.running_mean"),
        ("osnet_ibn_x1_0", "conv3.0.IN.weight"),
        ("osnet_ain_x1_0", "conv3.0.IN.weight"),
        ("osnet_ain_x1_0", "conv4.0.conv3.bn.weight"),
        ("osnet_ain_x1_0", "conv4.1.IN.weight"),
        ("osnet_x1_0", "conv4.2.0.conv.weight"),
        ("osnet_x1_0", "conv2.1.downsample.conv.weight"),
    ],
)
def test_norms_and_shortcuts_stand_only_where_the_paper_puts_them(architecture: str, absent: str) -> None:
    assert absent not in state_names(architecture)


@pytest.mark.parametrize("architecture", ["osnet_x0_25", "osnet_ibn_x0_25", "osnet_ain_x0_25"])
def test_features_are_512_nonnegative_numbers_an_image(architecture: str) -> None:
    with torch.inference_mode():
        feats = seeded_osnet(architecture)(torch.randn(2, 3, 128, 64))
    assert feats.shape == (2, 512)
    assert feats.min() >= 0
    assert feats.max() > 0


def test_training_mode_gives_features_too_and_every_weight_a_gradient() -> None:
    network = seeded_osnet(num_classes=5).train()
    feats = network(torch.randn(4, 3, 64, 32))
    assert feats.shape == (4, 512)
    network.classifier(feats).logsumexp(dim=1).sum().backward()
    # A gate's hidden layer of one unit may be switched off by its ReLU; its gradient is then zero, but it is there.
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_an_image_does_not_depend_on_its_batch() -> None:
    network, images = seeded_osnet("osnet_ain_x0_25"), torch.randn(3, 3, 64, 32)
    with torch.inference_mode():
        torch.testing.assert_close(network(images)[1:2], network(images[1:2]), atol=1e-5, rtol=1e-4)


def test_channels_last_memory_gives_the_same_features() -> None:
    network, images = seeded_osnet(), torch.randn(2, 3, 64, 32)
    with torch.inference_mode():
        wanted = network(images)
        came = network.to(memory_format=torch.channels_last)(images.to(memory_format=torch.channels_last))
    torch.testing.assert_close(came, wanted, atol=1e-5, rtol=1e-4)


def test_a_block_sums_its_streams_weighed_by_one_shared_gate() -> None:
    torch.manual_seed(3)
    block = OSBlock(64, 64).eval()
    images = torch.randn(1, 64, 8, 4)
    with torch.inference_mode():
        squeezed = block.conv1(images)
        total = torch.zeros_like(squeezed)
        for stream in (block.conv2a, block.conv2b, block.conv2c, block.conv2d):
            seen = stream(squeezed)
            hidden = torch.relu(block.gate.fc1(seen.mean((2, 3), keepdim=True)))
            total += torch.sigmoid(block.gate.fc2(hidden)) * seen
        torch.testing.assert_close(block(images), torch.relu(block.conv3(total) + images))


def test_same_seed_gives_same_weights() -> None:
    first, second = seeded_osnet(seed=1).state_dict(), seeded_osnet(seed=1).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_classifier_can_be_put_in_and_taken_out() -> None:
    network = build_osnet("osnet_x0_25")
    assert network.classifier is None
    network.reset_classifier(7)
    assert network.classifier is not None
    assert network.classifier.weight.shape == (7, 512)
    network.reset_classifier(0)
    assert not any(name.startswith("classifier") for name in network.state_dict())


def test_unknown_architecture_names_the_nearest_and_all_known() -> None:
    with pytest.raises(ConfigError, match=r"'osnet_x025': did you mean osnet_x0_25\?.*osnet_ain_x1_0"):
        build_osnet("osnet_x025")
    assert len(ARCHITECTURES) == 12
