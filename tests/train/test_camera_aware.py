from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import normalize

from train.losses.camera_contrast import camera_contrast
from train.methods.camera_aware import CameraAware, CameraAwareConfig
from train.methods.cluster_contrast import ClusterContrast, ClusterContrastConfig
from train.methods.method import Batch


def tensors(*values: int) -> Tensor:
    return torch.tensor(values)


def test_contrast_across_cameras_by_hand() -> None:
    # Label 0 in camera 1. Proxies: own camera (ignored), label 0 in camera 2 at cosine 0, label 1 at cosine 1.
    # Temperature 1: -log(e^0 / (e^0 + e^1)).
    proxies = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    loss = camera_contrast(
        torch.tensor([[1.0, 0.0]]),
        tensors(0),
        tensors(1),
        proxies,
        tensors(0, 0, 1),
        tensors(1, 2, 1),
        temperature=1.0,
        num_negatives=50,
    )
    assert math.isclose(float(loss), math.log(1 + math.e), rel_tol=1e-6)


def test_a_cluster_of_one_camera_costs_nothing_and_keeps_the_graph() -> None:
    feats = normalize(torch.randn(2, 3), dim=1).requires_grad_()
    loss = camera_contrast(
        feats,
        tensors(0, 1),
        tensors(1, 1),
        torch.eye(3)[:2],
        tensors(0, 1),
        tensors(1, 1),
        temperature=1,
        num_negatives=5,
    )
    loss.backward()
    assert loss.item() == 0.0
    assert feats.grad is not None


def test_contrast_across_cameras_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    feats = normalize(torch.randn(4, 5, generator=generator, dtype=torch.float64), dim=1).requires_grad_()
    proxies = normalize(torch.randn(6, 5, generator=generator, dtype=torch.float64), dim=1)
    labels, cameras = tensors(0, 0, 1, 2), tensors(1, 2, 1, 1)
    proxy_labels, proxy_cameras = tensors(0, 0, 1, 1, 2, 2), tensors(1, 2, 1, 2, 1, 2)

    def loss(values: Tensor) -> Tensor:
        return camera_contrast(
            values, labels, cameras, proxies, proxy_labels, proxy_cameras, temperature=0.5, num_negatives=2
        )

    assert torch.autograd.gradcheck(loss, (feats,))


def test_an_update_moves_the_proxy_of_the_sample_s_own_camera_only() -> None:
    method = CameraAware(CameraAwareConfig(momentum=0.0), ClusterContrast(ClusterContrastConfig()))
    feats, labels, cameras = torch.eye(4), tensors(0, 0, 1, 1), tensors(1, 3, 1, 3)
    method.begin_epoch(feats, labels, cameras)
    before = method.proxies_PD.clone()
    moved = normalize(torch.ones(1, 4), dim=1)
    method.update(Batch(moved, tensors(1), tensors(1)))
    changed = (method.proxies_PD - before).abs().sum(dim=1) > 1e-6
    assert changed.tolist() == [False, False, True, False]
    torch.testing.assert_close(method.proxies_PD[2], moved[0])
