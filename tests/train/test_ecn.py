from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import normalize

from train.methods.ecn import Ecn, EcnConfig
from train.methods.transfer_method import Domains, Embedded, TransferBatch

DOMAINS = Domains(feature_dim=2, num_source_ids=3, num_source=6, num_target=4, num_cameras=2)
PLAIN = EcnConfig(embedding_dim=0, dropout=0.0)
TARGET = torch.tensor([[3.0, 0.0], [0.0, 2.0]])


def batch(restyled: tuple[bool, bool] = (False, False)) -> TransferBatch:
    return TransferBatch(
        source_feats_SD=torch.tensor([[1.0, 0.0], [0.0, 1.0]]),
        source_labels_S=torch.tensor([0, 2]),
        target_feats_TD=TARGET.clone().requires_grad_(),
        target_rows_T=torch.tensor([0, 3]),
        target_camids_T=torch.tensor([0, 1]),
        target_restyled_T=torch.tensor(restyled),
    )


def target_loss(config: EcnConfig, *, epoch: int = 1, restyled: tuple[bool, bool] = (False, False)) -> float:
    method = Ecn(config, DOMAINS)
    method.memory_MD = torch.eye(2).repeat(2, 1)
    method.loss(batch(restyled), progress=0.0, epoch=epoch)
    return method.figures["target_loss"]


def test_terms_are_weighed_by_lambda() -> None:
    method = Ecn(PLAIN, DOMAINS)
    loss = method.loss(batch(), progress=0.0, epoch=1)
    # An empty memory: four slots, each as likely.
    assert method.figures["target_loss"] == pytest.approx(math.log(4))
    assert loss.item() == pytest.approx(0.7 * method.figures["source_loss"] + 0.3 * math.log(4))


def test_memory_moves_faster_in_early_epochs_and_keeps_unit_norm() -> None:
    method = Ecn(PLAIN.model_copy(update={"momentum_rate": 0.1}), DOMAINS)
    method.memory_MD = torch.eye(2).repeat(2, 1)
    method.loss(batch(), progress=0.0, epoch=5)
    method.update(batch(), epoch=5)
    # Slot 0 held what came; slot 3 held (0, 1), and so did its crop; the others are as they were.
    torch.testing.assert_close(method.memory_MD, torch.eye(2).repeat(2, 1))
    method.memory_MD = torch.tensor([[0.0, 1.0], [0.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    method.update(batch(), epoch=5)
    torch.testing.assert_close(method.memory_MD[0], normalize(torch.tensor([0.5, 0.5]), dim=0))


def test_neighbours_count_from_their_epoch_on() -> None:
    early, late = (target_loss(PLAIN.model_copy(update={"num_neighbours": 2}), epoch=epoch) for epoch in (4, 5))
    assert late > early
    assert target_loss(PLAIN.model_copy(update={"neighbourhood": False}), epoch=9) == pytest.approx(early)


def test_each_invariance_can_be_switched_off() -> None:
    both = target_loss(PLAIN, restyled=(True, False))
    without_camera = target_loss(PLAIN.model_copy(update={"camera": False}), restyled=(True, False))
    without_exemplar = target_loss(PLAIN.model_copy(update={"exemplar": False}), restyled=(True, False))
    assert without_camera == pytest.approx(both / 2)
    assert without_exemplar == pytest.approx(both / 2)
    assert target_loss(PLAIN.model_copy(update={"exemplar": False})) == 0.0


def test_gradient_reaches_both_domains_and_the_heads() -> None:
    method, both = Ecn(EcnConfig(embedding_dim=5, dropout=0.0), DOMAINS), batch()
    method.memory_MD = torch.rand(4, 5, generator=torch.Generator().manual_seed(0))
    method.loss(both, progress=0.0, epoch=1).backward()  # type: ignore[no-untyped-call]
    assert both.target_feats_TD.grad is not None
    assert bool(both.target_feats_TD.grad.any())
    assert all(parameter.grad is not None for parameter in method.heads.parameters())


def test_memory_and_classifier_may_start_from_embeddings() -> None:
    method = Ecn(PLAIN.model_copy(update={"starts_embedded": True}), DOMAINS)
    assert [method.wants_embedded(epoch) for epoch in (1, 2)] == [True, False]
    feats = normalize(torch.tensor([[1.0, 0.1], [-1.0, 0.2], [0.0, 1.0]]), dim=1)
    embedded = Embedded(
        source_feats_ND=feats,
        source_labels_N=torch.arange(3),
        target_feats_MD=torch.eye(2).repeat(2, 1),
        target_camids_M=torch.zeros(4, dtype=torch.int64),
    )
    method.begin_epoch(1, embedded)
    torch.testing.assert_close(method.memory_MD, torch.eye(2).repeat(2, 1))
    classifier = method.heads.get_submodule("classifier")
    torch.testing.assert_close(classifier(feats).argmax(dim=1), torch.arange(3))


def test_an_embedding_layer_has_nothing_to_start_from() -> None:
    assert not Ecn(EcnConfig(starts_embedded=True), DOMAINS).wants_embedded(1)


def test_memory_survives_a_restart() -> None:
    method, other = Ecn(PLAIN, DOMAINS), Ecn(PLAIN, DOMAINS)
    method.memory_MD = torch.rand(4, 2)
    other.restore(method.state())
    torch.testing.assert_close(other.memory_MD, method.memory_MD)
