from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import compatibility, crop_budget
from benchmarks.instruments.compatibility_figures import (
    Candidate,
    figures_of,
    mean_figures,
    plot_compatibility,
    table,
)
from benchmarks.instruments.retrieval import EmbeddedPeople, first_answers, negative_flip_rate
from reid.alignment import align
from reid.embedding import normalise
from reid.metrics import Labels
from reid.types import FloatArray

DIM = 16
NUM_PEOPLE = 12


def labels(camid: int) -> Labels:
    return Labels(np.arange(1, NUM_PEOPLE + 1), np.full(NUM_PEOPLE, camid))


def people(*, noise: float, turned: FloatArray | None = None) -> EmbeddedPeople:
    """Everybody once in camera 1, who asks, and once in camera 2, perhaps in a turned space."""
    rng = np.random.default_rng(0)
    own = rng.standard_normal((NUM_PEOPLE, DIM))
    views = [normalise((own + noise * rng.standard_normal(own.shape)).astype(np.float32)) for _ in range(2)]
    query, gallery = views if turned is None else [align(view, turned) for view in views]
    both = np.concatenate([query, gallery])
    both_labels = Labels(*(np.concatenate(parts) for parts in zip(labels(1), labels(2), strict=True)))
    return EmbeddedPeople((query, labels(1)), (gallery, labels(2)), (both, both_labels))


@pytest.fixture(scope="module")
def figures() -> dict[str, float]:
    """A parent that sees badly, a run that sees well in a turned space, and one that sees well without turning."""
    turned = np.linalg.qr(np.random.default_rng(1).standard_normal((DIM, DIM)))[0].astype(np.float32)
    straight = Candidate(people(noise=0.2), np.eye(DIM, dtype=np.float32))
    return figures_of(people(noise=1.5), Candidate(people(noise=0.2, turned=turned), turned), straight)


def test_an_alignment_makes_up_for_a_turned_space(figures: dict[str, float]) -> None:
    assert figures["cross_none_map"] < figures["old_old_map"] < figures["cross_alignment_map"]
    assert figures["cross_alignment_map"] == pytest.approx(figures["cross_both_map"], abs=0.1)


def test_the_gain_is_0_at_the_old_score_and_1_at_that_of_the_run_without_the_term(figures: dict[str, float]) -> None:
    old, new, cross = (figures[name] for name in ("old_old_map", "new_new_plain_map", "cross_both_map"))
    assert figures["update_gain_both"] == pytest.approx((cross - old) / (new - old))
    assert figures["new_new_loss_points"] == pytest.approx(0.0, abs=1e-6)
    assert figures["update_gain_none"] < 0 < figures["update_gain_both"] <= 1


def test_means_of_tracklets_have_figures_of_their_own(figures: dict[str, float]) -> None:
    assert {f"{name}_tracklets" for name in figures if "tracklets" not in name} <= set(figures)


def test_means_over_seeds_say_how_far_apart_they_are(figures: dict[str, float]) -> None:
    other = {name: value + 2 for name, value in figures.items()}
    means = mean_figures([figures, other])
    assert means["cross_both_map"] == pytest.approx(figures["cross_both_map"] + 1)
    assert means["cross_both_map_spread"] == pytest.approx(2)
    assert "cross_both_map_spread" not in mean_figures([figures])


def test_the_table_and_the_plot_show_every_way(tmp_path: Path, figures: dict[str, float]) -> None:
    lines = table(figures).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:6]] == ["| none", "| alignment", "| term", "| both"]
    plot_compatibility(tmp_path / "plot.png", figures)
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_first_answers_leave_out_what_the_asking_camera_saw_of_the_same_person() -> None:
    query = np.eye(2, dtype=np.float32)[:1], Labels(np.array([1]), np.array([1]))
    gallery_GD = np.array([[1, 0], [0.9, 0.44], [0, 1]], dtype=np.float32)
    same_camera = gallery_GD, Labels(np.array([1, 2, 1]), np.array([1, 2, 2]))
    other_camera = gallery_GD, Labels(np.array([1, 2, 1]), np.array([2, 2, 2]))
    assert [bool(first_answers(query, gallery)[0]) for gallery in (same_camera, other_camera)] == [False, True]


def test_a_negative_flip_was_right_before() -> None:
    before, after = np.array([True, True, False, False]), np.array([True, False, True, False])
    assert negative_flip_rate(before, after) == 0.25


@pytest.mark.parametrize("benchmark", [compatibility, crop_budget], ids=["compatibility", "crop-budget"])
def test_the_short_form_without_data_says_so_and_passes(
    benchmark: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = ["--data", str(tmp_path / "none"), "--checkpoint", str(tmp_path / "none.pth")]
    benchmark.main(["--quick", *nowhere])  # type: ignore[attr-defined]
    captured = capsys.readouterr()
    assert json.loads(captured.out.splitlines()[-1])["figures"] == {}
    assert "skipped: no" in captured.err
    with pytest.raises(SystemExit, match="set OSPREY_DATA"):
        benchmark.main(nowhere)  # type: ignore[attr-defined]
