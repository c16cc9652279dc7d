"""Two processes on gloo against one. Batch norms are held still where equal numbers are wanted: see the module."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes_dataset import people_in_memory
from fakes_network import seeded_osnet
from torch import multiprocessing

from reid.errors import OspreyError
from train.adapt import Adapter, AdaptSettings
from train.augment import AugmentSettings
from train.checkpoint import save_checkpoint
from train.distributed import ALONE, Ranks, join_ranks
from train.errors import TrainingError
from train.learner import Learner
from train.optimiser import OptimiserSettings
from train.pseudo_labels import ClusterSettings
from train.run_folder import RunFolder
from train.site import site_of

pytestmark = pytest.mark.slow  # starting the processes takes longer than what they do

NUM_RANKS = 2
PEOPLE = people_in_memory(num_pids=8, num_crops=10)


def run_on_two_ranks(folder: Path, work: Callable[[Ranks, Path], Any]) -> list[Any]:
    """What the work returns on each rank."""
    multiprocessing.start_processes(_enter, args=(folder, work), nprocs=NUM_RANKS, start_method="spawn")
    return [torch.load(folder / f"outcome-{rank}", weights_only=False) for rank in range(NUM_RANKS)]


def _enter(rank: int, folder: Path, work: Callable[[Ranks, Path], Any]) -> None:
    torch.set_num_threads(1)
    environ = {"RANK": str(rank), "WORLD_SIZE": str(NUM_RANKS)}
    with join_ranks("cpu", environ=environ, meeting_point=f"file://{folder}/meeting") as ranks:
        torch.save(work(ranks, folder), folder / f"outcome-{rank}")


def learn(ranks: Ranks) -> tuple[list[float], torch.Tensor]:
    """Losses and last weights of a few steps towards fixed targets, with batch norms held still."""
    learner = Learner(seeded_osnet(), OptimiserSettings(peak_lr=1e-3, warmup_share=0.0), precision="fp32", ranks=ranks)
    targets = torch.randn(7, 512, generator=torch.Generator().manual_seed(0))
    losses = []
    for step in range(3):
        feats = ranks.join(learner.features(PEOPLE.crops[:7][ranks.part(7)]), 7)
        losses.append(learner.learn((feats - targets).square().mean(), progress=step / 3, where="test"))
    return losses, learner.network.conv5.conv.weight.detach().contiguous()


def adapt(ranks: Ranks, folder: Path) -> dict[str, Any]:
    settings = AdaptSettings(
        init=str(folder / "init.pt"),
        num_epochs=2,
        num_iterations=3,
        num_ids=3,
        num_crops=3,
        ema_decay=0.9,
        precision="fp32",
        clusters=ClusterSettings(k1=8, k2=2, eps=0.6, min_samples=2),
        augment=AugmentSettings(),
    )
    run_folder = RunFolder(folder / f"run-{ranks.rank}-of-{ranks.size}", {})
    adapter = Adapter(settings, site_of(PEOPLE), run_folder, evaluate=lambda network: {"mAP": 0.5}, ranks=ranks)
    before = adapter.embed()
    assert adapter.run(threading.Event())
    files = sorted(path.name for path in run_folder.path.iterdir())
    return {"history": adapter.history, "before": before, "after": adapter.embed(), "files": files}


def talk(ranks: Ranks, folder: Path) -> dict[str, Any]:
    """One of every message."""

    def fail() -> None:
        raise TrainingError(f"raised by rank {ranks.rank}")

    with pytest.raises(OspreyError) as raised:
        ranks.from_first(fail)
    return {
        "error": str(raised.value),
        "rank": ranks.from_first(lambda: ranks.rank),
        "own": ranks.first_before_others(lambda: ranks.rank),
        "any": (ranks.any(ranks.rank == 1), ranks.any(False)),
        "joined": ranks.join(torch.arange(5)[ranks.part(5)], 5).tolist(),
    }


def everything(ranks: Ranks, folder: Path) -> dict[str, Any]:
    return {"talk": talk(ranks, folder), "learn": learn(ranks), "adapt": adapt(ranks, folder)}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], Path]:
    """Of all work at once: most of the time goes into starting the processes."""
    folder = tmp_path_factory.mktemp("ranks")
    save_checkpoint(folder / "init.pt", seeded_osnet())
    return run_on_two_ranks(folder, everything), folder


def test_ranks_agree_and_errors_of_the_first_reach_all(outcomes: tuple[list[Any], Path]) -> None:
    said = [outcome["talk"] for outcome in outcomes[0]]
    assert [words.pop("own") for words in said] == [0, 1]
    assert said[0] == said[1]
    assert said[0] == {"error": "raised by rank 0", "rank": 0, "any": (True, False), "joined": [0, 1, 2, 3, 4]}


def test_two_ranks_learn_what_one_process_learns(outcomes: tuple[list[Any], Path]) -> None:
    losses, weights = learn(ALONE)
    for outcome in outcomes[0]:
        np.testing.assert_allclose(outcome["learn"][0], losses, rtol=1e-5)
        # AdamW's first steps have the size of the learning rate whatever the gradient's: only its sign must agree.
        torch.testing.assert_close(outcome["learn"][1], weights, atol=1e-4, rtol=1e-3)
    assert losses[-1] < losses[0]


def test_an_adaptation_is_the_same_on_all_ranks_and_near_that_of_one_process(
    outcomes: tuple[list[Any], Path], tmp_path: Path
) -> None:
    first, second = (outcome["adapt"] for outcome in outcomes[0])
    save_checkpoint(tmp_path / "init.pt", seeded_osnet())
    alone = adapt(ALONE, tmp_path)
    assert [line["loss"] for line in first["history"]] == [line["loss"] for line in second["history"]]
    np.testing.assert_array_equal(first["after"], second["after"])
    np.testing.assert_allclose(first["before"], alone["before"], atol=1e-5)
    assert first["history"][0]["num_clusters"] == alone["history"][0]["num_clusters"]
    # Batch norms see half a batch and other random changes: near, not equal.
    assert first["history"][0]["loss"] == pytest.approx(alone["history"][0]["loss"], rel=0.3)


def test_only_the_first_rank_scores_and_writes(outcomes: tuple[list[Any], Path]) -> None:
    first, second = (outcome["adapt"] for outcome in outcomes[0])
    assert first["files"] == ["checkpoint.pt", "config.json", "final.pt", "metrics.json"]
    assert second["files"] == ["config.json"]
    assert ["mAP" in line["history"][-1] for line in (first, second)] == [True, False]


def test_without_torchrun_a_process_is_alone() -> None:
    with join_ranks("cpu", environ={}) as ranks:
        assert (ranks.size, ranks.is_first, ranks.part(5)) == (1, True, slice(0, 5))
        assert ranks.join(torch.arange(3), 3).tolist() == [0, 1, 2]
