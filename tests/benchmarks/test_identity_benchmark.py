from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.identity import judge
from benchmarks.instruments.identity.baseline import nearest_prototype
from benchmarks.instruments.identity.plot import plot_curves
from benchmarks.instruments.identity.scene import Scene, Similarity
from benchmarks.instruments.identity.scores import score

DIM = 16
NUM_PEOPLE = 3
VIEWS = 4


def scene(visits: int = 4) -> Scene:
    """Three people, one after another, go from camera to camera."""
    rng = np.random.default_rng(0)
    tracklets = [(visit % 2, visit * NUM_PEOPLE + who + 1, who) for visit in range(visits) for who in range(NUM_PEOPLE)]
    cameras, names, pids = (np.repeat(column, VIEWS) for column in np.array(tracklets).T)
    embeddings = np.eye(DIM, dtype=np.float32)[pids] + rng.normal(0, 0.05, (len(pids), DIM)).astype(np.float32)
    return Scene(
        name="three",
        similarity=Similarity("space", 0.8),
        window_s=3600.0,
        cameras_N=cameras,
        tracklet_ids_N=names,
        times_us_N=np.arange(len(pids)) * 500_000,
        qualities_N=np.full(len(pids), 0.9, dtype=np.float32),
        is_last_N=np.arange(len(pids)) % VIEWS == VIEWS - 1,
        embeddings_ND=embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True),
        pids_N=pids,
    )


@pytest.fixture(scope="module")
def judged():
    return judge(scene(), quick=True)


def test_people_who_look_different_are_all_met_again(judged) -> None:
    for scores in (judged.served, judged.settled, judged.best_baseline[1]):
        assert (scores.idf1, scores.precision, scores.recall, scores.num_persons) == (1, 1, 1, NUM_PEOPLE)
        assert (scores.id_switches, scores.fragments, scores.ass_a) == (0, 1, pytest.approx(1))


def test_a_switch_and_a_wrong_person_are_counted() -> None:
    played = scene()
    truth = {name: int(played.pids_N[rows[0]]) for name, rows in played.rows_by_tracklet().items()}
    last = list(truth)[-1]
    scores = score(played, truth | {last: 0})
    assert (scores.id_switches, scores.fragments) == (1, pytest.approx(4 / 3))
    assert scores.precision == pytest.approx(10 / 12)
    assert scores.recall == pytest.approx(10 / 12)
    assert scores.idf1 == pytest.approx(11 / 12)


@pytest.mark.parametrize(("threshold", "num_persons"), [(-1.0, 1), (0.8, NUM_PEOPLE), (1.1, 4 * NUM_PEOPLE)])
def test_the_baseline_follows_its_threshold(threshold: float, num_persons: int) -> None:
    assert len(set(nearest_prototype(scene(), threshold=threshold).values())) == num_persons


def test_curves_are_drawn(judged, tmp_path: Path) -> None:
    plot_curves(tmp_path / "curves.png", {"three": {"online": judged.online}}, {"three": judged.threshold})
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
