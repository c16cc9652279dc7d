from __future__ import annotations

import pytest
import torch
from torch import Tensor

from train.complexity import count_parameters
from train.gates import ChannelGate, FixedGate, Gating, join_streams, make_gate
from train.osnet import COMPARED, build_osnet

CHANNELS = 16
NEEDS_NO_GATE: tuple[Gating, ...] = ("none", "concat")


def two_streams() -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.rand(2, CHANNELS, 4, 3), torch.rand(2, CHANNELS, 4, 3)]


def test_a_gate_that_knows_nothing_halves_every_channel() -> None:
    gate = ChannelGate(CHANNELS, CHANNELS)
    with torch.no_grad():
        for weight in gate.fc2.parameters():
            weight.zero_()
    first, second = two_streams()
    assert torch.allclose(join_streams(gate, [first, second]), (first + second) / 2)


def test_fixed_weights_do_not_depend_on_the_input() -> None:
    gate = FixedGate(CHANNELS, 2)
    with torch.no_grad():
        gate.logits_TC[1] = 100.0
    first, second = two_streams()
    assert torch.allclose(join_streams(gate, [first, second]), first / 2 + second)


def test_without_a_gate_streams_are_added_or_put_side_by_side() -> None:
    streams = two_streams()
    assert torch.equal(join_streams(make_gate("none", CHANNELS, 2), streams), streams[0] + streams[1])
    assert torch.equal(join_streams(make_gate("concat", CHANNELS, 2), streams), torch.cat(streams, dim=1))


def test_a_shared_gate_is_one_and_separate_gates_are_several() -> None:
    shared, separate = (make_gate(gating, CHANNELS, 4) for gating in ("shared", "separate"))
    assert shared is not None
    assert separate is not None
    counts = [sum(weight.numel() for weight in gate.parameters()) for gate in (shared, separate)]
    assert counts == [16 + 1 + 16 + 16, 4 * (16 + 1 + 16 + 16)]


def test_a_streamwise_gate_gives_all_channels_of_a_stream_one_weight() -> None:
    gate = make_gate("streamwise", CHANNELS, 2)
    assert gate is not None
    streams = two_streams()
    assert gate(streams[0]).shape == (2, 1, 1, 1)
    assert torch.allclose(join_streams(gate, streams), sum(stream * gate(stream) for stream in streams))


@pytest.mark.parametrize("name", [name for name in COMPARED if "x0_25" in name and "small" not in name])
def test_every_compared_network_learns(name: str) -> None:
    feats = build_osnet(name).train()(torch.randn(2, 3, 64, 32))
    assert feats.shape == (2, 512)
    feats.sum().backward()


def test_networks_for_small_pictures_have_the_published_size() -> None:
    default, deep = (count_parameters(f"osnet_x1_0_{name}") / 1e6 for name in ("small", "small_deep"))
    assert (round(default, 1), round(deep, 1)) == (2.2, 4.6)


def test_a_small_stem_keeps_enough_of_a_small_picture() -> None:
    network = build_osnet("osnet_x0_25_small").eval()
    with torch.inference_mode():
        stem = network.maxpool(network.conv1(torch.zeros(1, 3, 32, 32)))
        stages = network.conv4(network.conv3(network.conv2(stem)))
    assert stem.shape[2:] == (32, 32)
    assert stages.shape[2:] == (8, 8)


def test_fewer_streams_are_a_smaller_network() -> None:
    sizes = [count_parameters(f"osnet_x0_25{suffix}") for suffix in ("_t1", "_t2", "_t3", "")]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]
