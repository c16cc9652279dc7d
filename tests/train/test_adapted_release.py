from __future__ import annotations

from pathlib import Path

import pytest
from fakes_dataset import people_in_memory
from fakes_network import seeded_osnet

from reid.errors import ConfigError
from reid.release import Release
from train.adapt import AdaptSettings
from train.adapted_release import (
    AdaptedRun,
    calibrated_threshold,
    carried_threshold,
    describe,
    name_and_version,
    next_version,
)
from train.calibrate import UNCALIBRATED
from train.checkpoint import Checkpoint
from train.start import Start

BARE = Start(checkpoint=Checkpoint(path=Path("c.pt"), state={}), sha256="0" * 64)


@pytest.fixture
def child(tiny_release: Release) -> Start:
    return Start(checkpoint=BARE.checkpoint, sha256=BARE.sha256, release=tiny_release)


@pytest.mark.parametrize(
    ("version", "wanted"), [("1", "2"), ("0.1.0", "0.1.1"), ("2026-9", "2026-10"), ("beta", "beta.2")]
)
def test_next_version_raises_the_last_number(version: str, wanted: str) -> None:
    assert next_version(version) == wanted


def test_a_release_is_by_default_the_next_of_its_parents_line(child: Start) -> None:
    assert name_and_version(child, Path("any")) == ("tiny", "2")
    assert name_and_version(child, Path("any"), "site", "7") == ("site", "7")
    assert name_and_version(BARE, Path("w/osnet x0.25.pth")) == ("osnet-x0.25", "1")
    with pytest.raises(ConfigError, match="release version 'a/b'"):
        name_and_version(child, Path("any"), version="a/b")


def test_a_carried_threshold_says_whose_it_is(child: Start) -> None:
    thresholds = carried_threshold(child)
    assert thresholds.match == 0.9
    assert thresholds.how == (
        "that of its parent tiny-1-0, not calibrated again after adapting; there: chosen for tests"
    )
    assert carried_threshold(BARE) == UNCALIBRATED


def test_a_calibrated_threshold_names_its_data() -> None:
    people = people_in_memory(num_pids=30, num_crops=4)
    thresholds = calibrated_threshold(seeded_osnet(), people, data_name="some people")
    assert -1 <= thresholds.match <= 1
    assert "30 test identities of some people, measured on this release" in thresholds.how


def test_a_manifest_tells_how_to_make_the_release_again(child: Start) -> None:
    run = AdaptedRun(
        start=child,
        recipe="ise",
        settings=AdaptSettings(init="/home/ann/tiny", seed=3),
        data={"data": "market1501", "split": "all", "name-pattern": ""},
        num_crops=12,
    )
    said = describe(run, "tiny", "2", UNCALIBRATED, {"loss": 1.0, "mAP": 0.5})
    assert said.parent == "tiny-1-0"
    assert said.metrics == {"mAP": 0.5}
    assert said.provenance["data"] == "market1501 all, 12 crops, labels not used"
    words = "--method ise --init tiny --data market1501 --split all --seed 3 --epochs 20"
    assert said.provenance["command"] == f"osprey-train adapt {words}"


def test_where_the_weights_lay_does_not_change_the_hash_of_the_settings(child: Start) -> None:
    def hash_of(**changes: object) -> str:
        settings = AdaptSettings().model_copy(update=changes)
        data = {"data": "folder", "split": "all"}
        run = AdaptedRun(start=child, recipe="ise", settings=settings, data=data, num_crops=1)
        return describe(run, "a", "1", UNCALIBRATED, {}).provenance["settings_sha256"]

    assert hash_of(init="/a") == hash_of(init="/b")
    assert hash_of(seed=1) != hash_of(seed=2)
