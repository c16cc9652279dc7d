from __future__ import annotations

import threading
from pathlib import Path

import pytest
from fakes_dataset import people_in_memory
from fakes_network import seeded_osnet

from reid.errors import ConfigError
from train.adapt import Adapter, AdaptSettings
from train.checkpoint import save_checkpoint
from train.commands_adapt import RECIPES, TRANSFER_RECIPES, WITH_SOURCE
from train.losses.compatibility import CompatibilityConfig
from train.methods.ise import Ise
from train.methods.method import Batch
from train.pseudo_labels import ClusterSettings
from train.run_folder import RunFolder
from train.site import site_of
from train.source import SourceCrops, source_of

SITE = site_of(people_in_memory(num_pids=8, num_crops=10))
SOURCE = source_of(people_in_memory(num_pids=5, num_crops=4))


@pytest.fixture
def settings(tmp_path: Path) -> AdaptSettings:
    save_checkpoint(tmp_path / "init.pt", seeded_osnet())
    return AdaptSettings(
        init=str(tmp_path / "init.pt"),
        num_epochs=2,
        num_iterations=2,
        num_ids=3,
        num_crops=2,
        num_source_ids=4,
        precision="fp32",
        clusters=ClusterSettings(k1=8, k2=2, eps=0.6, min_samples=2),
    )


def adapter_in(
    folder: Path, settings: AdaptSettings, source: SourceCrops | None = SOURCE, *, resume: bool = False
) -> Adapter:
    return Adapter(settings, SITE, RunFolder(folder, settings.model_dump(mode="json"), resume=resume), source=source)


def test_people_of_the_source_are_clusters_with_fixed_labels_after_those_found(
    tmp_path: Path, settings: AdaptSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Batch, int]] = []

    def spy(self: Ise, batch: Batch) -> None:
        seen.append((batch, len(self.protos_KD)))

    monkeypatch.setattr(Ise, "update", spy)
    run = adapter_in(tmp_path / "run", settings.model_copy(update={"num_epochs": 1}))
    run.run(threading.Event())
    num_found = run.history[0]["num_clusters"]
    for batch, num_protos in seen:
        assert num_protos == num_found + SOURCE.num_ids
        of_source, of_site = batch.labels_B[: 4 * 2], batch.labels_B[4 * 2 :]
        assert of_source.min() >= num_found > of_site.max()
        assert set(batch.camids_B[: 4 * 2].tolist()).isdisjoint(batch.camids_B[4 * 2 :].tolist())


def test_a_run_broken_off_goes_on_to_the_same_losses(tmp_path: Path, settings: AdaptSettings) -> None:
    held = settings.model_copy(update={"compatible": CompatibilityConfig(weight=0.5)})
    whole = adapter_in(tmp_path / "whole", held)
    whole.run(threading.Event())
    stop = threading.Event()

    def stop_in_second_epoch(epoch: int, step: int, loss: float) -> None:
        if epoch == 2:
            stop.set()

    assert not adapter_in(tmp_path / "parts", held).run(stop, stop_in_second_epoch)
    rest = adapter_in(tmp_path / "parts", held, resume=True)
    assert rest.run(threading.Event())
    assert [line["loss"] for line in rest.history] == [line["loss"] for line in whole.history]


@pytest.mark.parametrize(("num_source_ids", "source"), [(4, None), (0, SOURCE)], ids=["missing", "one too many"])
def test_settings_and_source_must_agree(
    num_source_ids: int, source: SourceCrops | None, tmp_path: Path, settings: AdaptSettings
) -> None:
    changed = settings.model_copy(update={"num_source_ids": num_source_ids})
    with pytest.raises(ConfigError, match=f"num_source_ids is {num_source_ids}"):
        adapter_in(tmp_path / "run", changed, source)


def test_the_command_names_the_methods_that_take_a_source() -> None:
    recipes = {**RECIPES, **TRANSFER_RECIPES}
    assert {name for name, make in recipes.items() if make().takes_source} == set(WITH_SOURCE)
