from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes_dataset import people_in_memory
from fakes_network import seeded_osnet

from reid.errors import ConfigError
from reid.release import Thresholds
from train.adapt import Adapter, AdaptSettings, make_method
from train.checkpoint import load_osnet, read_checkpoint, save_checkpoint
from train.distributed import Ranks
from train.errors import CheckpointError, TrainingError
from train.export import ReleaseDescription, export_release
from train.methods.camera_aware import CameraAware, CameraAwareConfig
from train.methods.cluster_contrast import ClusterContrastConfig
from train.optimiser import OptimiserSettings
from train.pseudo_labels import ClusterSettings
from train.run_folder import RunFolder
from train.site import SiteCrops, site_of

SITE = site_of(people_in_memory(num_pids=8, num_crops=10))


@pytest.fixture
def settings(tmp_path: Path) -> AdaptSettings:
    save_checkpoint(tmp_path / "init.pt", seeded_osnet())
    return AdaptSettings(
        init=str(tmp_path / "init.pt"),
        num_epochs=2,
        num_iterations=3,
        num_ids=3,
        num_crops=2,
        precision="fp32",
        clusters=ClusterSettings(k1=8, k2=2, eps=0.6, min_samples=2),
    )


def adapter_in(
    folder: Path, settings: AdaptSettings, site: SiteCrops = SITE, *, resume: bool = False, **options: object
) -> Adapter:
    run_folder = RunFolder(folder, settings.model_dump(mode="json"), resume=resume)
    return Adapter(settings, site, run_folder, **options)  # type: ignore[arg-type]


def losses_of(adapter: Adapter) -> list[float]:
    return [line["loss"] for line in adapter.history]


def test_a_run_reports_each_epoch_and_leaves_weights_behind(tmp_path: Path, settings: AdaptSettings) -> None:
    adapter = adapter_in(tmp_path / "run", settings)
    assert adapter.run(threading.Event())
    first = adapter.history[0]
    assert first["num_clusters"] >= 3
    assert 0 <= first["noise_share"] < 1
    assert 0 < first["pair_precision"] <= 1
    assert {"embed_s", "cluster_s", "train_s", "cross_camera_share"} <= first.keys()
    start, end = (read_checkpoint(path).state for path in (tmp_path / "init.pt", tmp_path / "run" / "final.pt"))
    assert not torch.equal(start["conv1.conv.weight"], end["conv1.conv.weight"])
    assert load_osnet(read_checkpoint(tmp_path / "run" / "final.pt")).architecture.name == "osnet_x0_25"


def test_same_seed_gives_the_same_losses_and_another_seed_others(tmp_path: Path, settings: AdaptSettings) -> None:
    runs = [adapter_in(tmp_path / name, settings) for name in ("a", "b")]
    runs.append(adapter_in(tmp_path / "c", settings.model_copy(update={"seed": 2})))
    for run in runs:
        run.run(threading.Event())
    assert losses_of(runs[0]) == losses_of(runs[1])
    assert losses_of(runs[0]) != losses_of(runs[2])


def test_a_run_broken_off_goes_on_to_the_same_losses(tmp_path: Path, settings: AdaptSettings) -> None:
    with_mean = settings.model_copy(update={"ema_decay": 0.9})
    whole = adapter_in(tmp_path / "whole", with_mean)
    whole.run(threading.Event())
    stop = threading.Event()

    def stop_in_second_epoch(epoch: int, step: int, loss: float) -> None:
        if epoch == 2:
            stop.set()

    assert not adapter_in(tmp_path / "parts", with_mean).run(stop, stop_in_second_epoch)
    rest = adapter_in(tmp_path / "parts", with_mean, resume=True)
    assert rest.run(threading.Event())
    assert losses_of(rest) == losses_of(whole)


@pytest.mark.parametrize(
    "change",
    [
        {"method": ClusterContrastConfig(update_rule="average")},
        {"camera_aware": CameraAwareConfig(weight=0.5)},
        {"clusters": ClusterSettings(of="tracklets", k1=4, k2=1, min_samples=1)},
    ],
    ids=["cluster-contrast", "camera-aware", "tracklets"],
)
def test_variants_run_to_the_end(tmp_path: Path, settings: AdaptSettings, change: dict[str, object]) -> None:
    assert adapter_in(tmp_path / "run", settings.model_copy(update=change)).run(threading.Event())


def test_scores_are_asked_for_at_intervals_and_at_the_end(tmp_path: Path, settings: AdaptSettings) -> None:
    longer = settings.model_copy(update={"num_epochs": 3, "num_iterations": 1})
    adapter = adapter_in(tmp_path / "run", longer, evaluate=lambda network: {"mAP": 0.5}, evaluate_every=2)
    adapter.run(threading.Event())
    assert ["mAP" in line for line in adapter.history] == [False, True, True]


def test_nothing_clusters_stops_before_any_step(tmp_path: Path, settings: AdaptSettings) -> None:
    hopeless = settings.model_copy(update={"clusters": ClusterSettings(k1=2, k2=1, min_samples=40)})
    with pytest.raises(TrainingError, match="0 clusters"):
        adapter_in(tmp_path / "run", hopeless).run(threading.Event(), pytest.fail)


def test_a_loss_that_is_not_finite_keeps_the_last_good_checkpoint(tmp_path: Path, settings: AdaptSettings) -> None:
    absurd = OptimiserSettings(kind="adam", peak_lr=1e30, warmup_share=0.0)
    with pytest.raises(TrainingError, match=r"loss is nan in epoch 1, step 2.*lower peak_lr"):
        adapter_in(tmp_path / "run", settings.model_copy(update={"optimiser": absurd})).run(threading.Event())
    assert not (tmp_path / "run" / "final.pt").exists()


def test_a_checkpoint_of_another_kind_of_run_is_refused(tmp_path: Path, settings: AdaptSettings) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    save_checkpoint(folder / "checkpoint.pt", seeded_osnet(), training={"something": 1})
    with pytest.raises(CheckpointError, match="does not belong to this run"):
        adapter_in(folder, settings, resume=True)


def test_each_epoch_is_told_with_its_checkpoint_written(tmp_path: Path, settings: AdaptSettings) -> None:
    told: list[tuple[int, bool]] = []
    adapter = adapter_in(tmp_path / "run", settings)
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    adapter.run(threading.Event(), on_epoch=lambda history: told.append((len(history), checkpoint.exists())))
    assert told == [(1, True), (2, True)]


def test_a_release_starts_a_run_at_its_weights(tmp_path: Path, settings: AdaptSettings) -> None:
    thresholds = Thresholds(match=0.7, how="chosen for tests")
    description = ReleaseDescription(name="site", version="1", thresholds=thresholds, provenance={})
    export_release(seeded_osnet(), tmp_path / "site", description)
    from_release = adapter_in(tmp_path / "a", settings.model_copy(update={"init": str(tmp_path / "site")}))
    np.testing.assert_array_equal(from_release.embed(), adapter_in(tmp_path / "b", settings).embed())


def test_a_batch_too_small_to_share_is_refused(tmp_path: Path, settings: AdaptSettings) -> None:
    with pytest.raises(ConfigError, match="a batch of 6 is too small for 4 processes: start at most 3"):
        adapter_in(tmp_path / "run", settings, ranks=Ranks(0, 4))


def test_camera_aware_proxies_wrap_the_method_only_with_a_weight(settings: AdaptSettings) -> None:
    assert not isinstance(make_method(settings), CameraAware)
    assert isinstance(make_method(settings.model_copy(update={"camera_aware": CameraAwareConfig()})), CameraAware)


def test_few_crops_make_short_epochs() -> None:
    settings = AdaptSettings(num_iterations=50, num_passes=2.0)
    assert [settings.num_steps(count) for count in (10, 320, 9173)] == [1, 10, 50]
    assert AdaptSettings(num_iterations=50).num_steps(10) == 50


def test_fewer_people_than_a_batch_has_places_are_enough_where_that_is_allowed(
    tmp_path: Path, settings: AdaptSettings
) -> None:
    many = settings.model_copy(update={"num_ids": 30, "num_epochs": 1})
    with pytest.raises(TrainingError, match="wanted at least 30"):
        adapter_in(tmp_path / "a", many).run(threading.Event())
    assert adapter_in(tmp_path / "b", many.model_copy(update={"least_clusters": 3})).run(threading.Event())


def test_embeddings_of_the_start_are_those_of_a_run_that_has_not_begun(tmp_path: Path, settings: AdaptSettings) -> None:
    adapter = adapter_in(tmp_path / "run", settings)
    before = adapter.embed()
    adapter.run(threading.Event())
    np.testing.assert_array_equal(adapter.embed_as_at_start(), before)
    assert not np.allclose(adapter.embed(), before)
