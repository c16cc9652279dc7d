from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from releases import write_tiny_release

from benchmarks.crop_budget import choose
from benchmarks.instruments import refresh_runs
from benchmarks.instruments.crop_budget_figures import Point, figures_of, plot_budgets, table
from benchmarks.instruments.market_site import MarketSite, all_rows, write_market_snapshot
from benchmarks.instruments.refresh_runs import RefreshRun, command, complete
from benchmarks.instruments.retrieval import LabelledPeople
from reid.embedding import normalise
from reid.snapshot import read_snapshot
from train.crop_cache import load_crops
from train.datasets.market1501 import parse_market_name
from train.errors import TrainingError
from train.site import site_of

POINTS = [
    Point("all", 1.0, 1, 100, 60.0),
    Point("all", 1.0, 2, 100, 62.0),
    Point("diverse", 0.25, 1, 25, 58.0),
    Point("diverse", 0.25, 2, 25, 60.0),
    Point("random", 0.25, 1, 25, 50.0),
]


@pytest.fixture
def market(tmp_path: Path) -> MarketSite:
    """Six people in two cameras, four crops a tracklet."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    samples = []
    for pid in range(1, 7):
        for crop in range(8):
            name = f"{pid:04d}_c{1 + crop // 4}s1_{pid * 10 + crop:06d}_01.jpg"
            cv2.imwrite(str(pictures / name), np.full((64, 32, 3), 20 * pid, np.uint8))
            samples.append(parse_market_name(pictures / name))
    cached = load_crops(samples, tmp_path / "cache")
    return MarketSite(cached.samples, site_of(cached), LabelledPeople(cached, cached), tmp_path / "cache")


def test_a_share_of_the_gain_is_told_against_all_crops() -> None:
    figures = figures_of(40.0, POINTS)
    assert (figures["map_direct"], figures["map_all"], figures["map_diverse_25"]) == (40.0, 61.0, 59.0)
    assert figures["gain_share_diverse_25"] == pytest.approx(19 / 21)
    assert "gain_share_diverse_25" not in figures_of(40.0, POINTS[2:])


def test_the_table_and_the_plot_have_every_strategy(tmp_path: Path) -> None:
    assert "| diverse | 59.0 |  |" in table(40.0, POINTS)
    plot_budgets(tmp_path / "plot.png", 40.0, POINTS)
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_a_budget_is_spread_over_cameras_in_pairs_of_a_tracklet(market: MarketSite) -> None:
    feats = normalise(np.random.default_rng(0).standard_normal((48, 16)).astype(np.float32))
    rows = choose(market, feats, strategy="diverse", share=0.5, seed=1)
    assert len(rows) == 24
    assert set(Counter(market.site.camids[rows].tolist()).values()) == {12}
    assert min(Counter(market.site.tracklets[rows].tolist()).values()) >= 2
    assert choose(market, feats, strategy="all", share=1.0, seed=1).tolist() == all_rows(market).tolist()


def test_chosen_crops_become_a_snapshot_with_what_the_site_knows(market: MarketSite, tmp_path: Path) -> None:
    rows = all_rows(market)[:16]
    write_market_snapshot(tmp_path / "runs" / "snap", market, rows, parent="tiny-1-0")
    snapshot = read_snapshot(tmp_path / "runs" / "snap")
    assert [crop.tracklet for crop in snapshot.of_part("train")] == market.site.tracklets[:16].tolist()
    assert snapshot.parent == "tiny-1-0"
    wanted = {tuple(pair) for pair in market.site.apart.tolist() if max(pair) < 4}
    assert {tuple(pair) for pair in snapshot.apart.tolist()} == wanted


@pytest.fixture
def run(market: MarketSite, tmp_path: Path) -> RefreshRun:
    write_market_snapshot(tmp_path / "snap", market, all_rows(market), parent="tiny-1-0")
    parent = write_tiny_release(tmp_path / "parent")
    return RefreshRun(
        folder=tmp_path / "run",
        snapshot=tmp_path / "snap",
        parent=parent.folder,
        method="ise-plus",
        seed=2,
        num_epochs=3,
    )


def test_a_run_that_was_broken_off_is_gone_on_with(run: RefreshRun, tmp_path: Path) -> None:
    fresh = command(run, cache=tmp_path)
    assert fresh[:4] == [sys.executable, "-m", "train", "adapt"]
    assert "--method ise-plus --seed 2 --epochs 3" in " ".join(fresh)
    run.folder.mkdir()
    (run.folder / "checkpoint.pt").touch()
    assert command(run, cache=tmp_path) == [*fresh, "--resume"]


def test_a_complete_run_is_taken_as_it_is_and_one_of_another_task_refused(
    run: RefreshRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[list[str]] = []

    def train(words: list[str], **options: object) -> None:
        made.append(words)
        write_tiny_release(run.release, seed=1, version="2")

    monkeypatch.setattr(refresh_runs.subprocess, "run", train)
    spaces = [complete(run, cache=tmp_path).ref.space for _ in range(2)]
    assert spaces == ["tiny-2-1"] * 2
    assert len(made) == 1
    task = json.loads((run.folder / "task.json").read_text())
    (run.folder / "task.json").write_text(json.dumps({**task, "num_epochs": 20}))
    with pytest.raises(TrainingError, match=r"holds another run \(num_epochs differ\)"):
        complete(run, cache=tmp_path)
