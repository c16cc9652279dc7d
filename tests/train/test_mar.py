from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch
from fakes_dataset import people_in_memory
from fakes_network import seeded_osnet
from torch import Tensor
from torch.nn.functional import normalize

from train.checkpoint import load_network, read_checkpoint, save_checkpoint
from train.methods.mar import Mar, MarConfig
from train.methods.transfer_method import Domains, Embedded, TransferBatch
from train.resnet import RESNETS, ResNet, ResNetArchitecture
from train.run_folder import RunFolder
from train.site import site_of
from train.source import source_of
from train.transfer import Transfer, TransferSettings

DOMAINS = Domains(feature_dim=8, num_source_ids=3, num_source=6, num_target=10, num_cameras=2)
TERMS = {"discrimination", "consistency", "agents", "joint"}


def random_feats(rows: int, *, seed: int) -> Tensor:
    return torch.randn(rows, 8, generator=torch.Generator().manual_seed(seed))


def batch(seed: int = 0) -> TransferBatch:
    return TransferBatch(
        source_feats_SD=random_feats(4, seed=seed).requires_grad_(),
        source_labels_S=torch.tensor([0, 1, 2, 2]),
        target_feats_TD=random_feats(6, seed=seed + 1).requires_grad_(),
        target_rows_T=torch.arange(6),
        target_camids_T=torch.tensor([0, 0, 1, 1, 0, 1]),
        target_restyled_T=torch.zeros(6, dtype=torch.bool),
    )


def loss_of(method: Mar, seed: int = 0) -> Tensor:
    return method.loss(batch(seed), progress=0.0, epoch=1)


def test_the_loss_is_the_weighted_sum_of_its_terms() -> None:
    config = MarConfig(mining_ratio=0.5, consistency_weight=0.5, agent_weight=3.0, joint_weight=0.25)
    method = Mar(config, DOMAINS)
    loss, terms = loss_of(method), method.figures
    agents = 3.0 * (terms["agents"] + 0.25 * terms["joint"])
    assert loss.item() == pytest.approx(terms["discrimination"] + 0.5 * terms["consistency"] + agents, rel=1e-5)
    assert terms.keys() > TERMS


def test_a_weight_of_zero_leaves_a_term_out() -> None:
    off = MarConfig(discrimination_weight=0, consistency_weight=0, agent_weight=0)
    assert loss_of(Mar(off, DOMAINS)).item() == 0.0


def test_the_loss_reaches_both_domains_and_the_agents() -> None:
    method, both = Mar(MarConfig(mining_ratio=0.5), DOMAINS), batch()
    method.loss(both, progress=0.0, epoch=1).backward()  # type: ignore[no-untyped-call]
    for reached in (both.source_feats_SD, both.target_feats_TD, method.heads.agents_RD):
        assert reached.grad is not None
        assert reached.grad.abs().sum() > 0


def test_agents_start_at_the_mean_of_their_identity_and_are_not_moved_later() -> None:
    method = Mar(MarConfig(), DOMAINS)
    feats = normalize(random_feats(6, seed=3), dim=1)
    embedded = Embedded(
        source_feats_ND=feats,
        source_labels_N=torch.tensor([0, 0, 1, 1, 2, 2]),
        target_feats_MD=feats,
        target_camids_M=torch.zeros(6, dtype=torch.int64),
    )
    assert [method.wants_embedded(epoch) for epoch in (1, 2)] == [True, False]
    method.begin_epoch(1, embedded)
    torch.testing.assert_close(method.heads()[1], normalize(feats[2] + feats[3], dim=0))
    before = method.heads().clone()
    method.begin_epoch(2, None)
    assert torch.equal(method.heads(), before)


def test_bound_and_statistics_survive_a_restart() -> None:
    first, second = (Mar(MarConfig(mining_ratio=0.5), DOMAINS) for _ in range(2))
    loss_of(first)
    second.restore(first.state())
    second.heads.load_state_dict(first.heads.state_dict())
    assert loss_of(first, seed=5).item() == loss_of(second, seed=5).item()
    assert first.agreement_bound == second.agreement_bound


@pytest.fixture
def settings(tmp_path: Path) -> TransferSettings:
    save_checkpoint(tmp_path / "init.pt", seeded_osnet())
    return TransferSettings(
        init=str(tmp_path / "init.pt"),
        num_epochs=2,
        num_iterations=2,
        num_source=4,
        num_target=6,
        precision="fp32",
        method=MarConfig(mining_ratio=0.2),
    )


def transfer_in(folder: Path, settings: TransferSettings, *, resume: bool = False) -> Transfer:
    source = source_of(people_in_memory(num_pids=5, num_crops=4))
    site = site_of(people_in_memory(num_pids=8, num_crops=6))
    return Transfer(settings, source, site, RunFolder(folder, settings.model_dump(mode="json"), resume=resume))


def test_a_run_reports_its_terms_and_goes_on_to_the_same_losses(tmp_path: Path, settings: TransferSettings) -> None:
    whole = transfer_in(tmp_path / "whole", settings)
    assert whole.run(threading.Event())
    stop = threading.Event()

    def stop_in_second_epoch(epoch: int, step: int, loss: float) -> None:
        if epoch == 2:
            stop.set()

    assert not transfer_in(tmp_path / "parts", settings).run(stop, stop_in_second_epoch)
    rest = transfer_in(tmp_path / "parts", settings, resume=True)
    assert rest.run(threading.Event())
    timed = {"embed_s", "train_s", "duration_s"}
    lines = [[{k: line[k] for k in line.keys() - timed} for line in run.history] for run in (whole, rest)]
    assert lines[0] == lines[1]
    assert lines[0][0].keys() >= TERMS


def test_a_small_resnet_is_trained_like_any_other_network(
    tmp_path: Path, settings: TransferSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = ResNetArchitecture(name="tiny", depths=(1, 1, 1, 1), width=2)
    monkeypatch.setitem(RESNETS, "tiny", small)
    save_checkpoint(tmp_path / "init.pt", ResNet(small))
    assert transfer_in(tmp_path / "run", settings).run(threading.Event())
    assert load_network(read_checkpoint(tmp_path / "run" / "final.pt")).feature_dim == small.feature_dim
