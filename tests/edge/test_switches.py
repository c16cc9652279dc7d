from __future__ import annotations

import numpy as np
import pytest

from edge.switches import Coherence, Judgement, SwitchGuard, SwitchSettings, mean_coherence

ANNA = np.array([1.0, 0.0, 0.0], dtype=np.float32)
ANNA_TURNED = np.array([0.8, 0.6, 0.0], dtype=np.float32)
BERT = np.array([0.0, 0.0, 1.0], dtype=np.float32)
SETTINGS = SwitchSettings(similarity=0.5, confirm_views=3)


@pytest.fixture
def guard() -> SwitchGuard:
    return SwitchGuard(SETTINGS)


def play(guard: SwitchGuard, *views: np.ndarray, track_id: int = 7) -> list[Judgement]:
    return [guard.judge(track_id, view) for view in views]


def test_a_person_who_turns_keeps_the_track(guard: SwitchGuard) -> None:
    assert play(guard, ANNA, ANNA_TURNED, ANNA_TURNED, ANNA) == [Judgement(1)] * 4


def test_a_track_that_goes_over_to_somebody_else_is_split(guard: SwitchGuard) -> None:
    judged = play(guard, ANNA, ANNA, BERT, BERT, BERT, BERT)
    assert judged == [Judgement(1), Judgement(1), Judgement(None), Judgement(None), Judgement(2, ended=1), Judgement(2)]
    assert guard.num_switches == 1


def test_somebody_in_front_for_a_moment_is_withheld_but_ends_nothing(guard: SwitchGuard) -> None:
    assert play(guard, ANNA, BERT, BERT, ANNA, BERT, BERT, ANNA) == [
        Judgement(1),
        *[Judgement(None)] * 2,
        Judgement(1),
        *[Judgement(None)] * 2,
        Judgement(1),
    ]


def test_slow_change_is_followed(guard: SwitchGuard) -> None:
    angles = np.linspace(0, np.pi / 2, 60)
    views = [np.array([np.cos(a), np.sin(a), 0], dtype=np.float32) for a in angles]
    assert {judgement.person_track for judgement in play(guard, *views)} == {1}


def test_tracks_are_judged_apart(guard: SwitchGuard) -> None:
    play(guard, ANNA, track_id=1)
    play(guard, BERT, track_id=2)
    assert play(guard, ANNA, track_id=1) + play(guard, BERT, track_id=2) == [Judgement(1), Judgement(2)]


def test_an_ended_track_is_forgotten_under_the_name_it_had_here(guard: SwitchGuard) -> None:
    play(guard, ANNA, BERT, BERT, BERT)
    assert guard.end([7, 99]) == [2]
    assert play(guard, ANNA) == [Judgement(3)]


def test_splitting_can_be_switched_off() -> None:
    guard = SwitchGuard(SwitchSettings(similarity=-1))
    assert play(guard, ANNA, BERT, -ANNA) == [Judgement(1)] * 3


def test_coherence_is_the_mean_cosine_of_neighbouring_views(guard: SwitchGuard) -> None:
    play(guard, ANNA, ANNA, ANNA_TURNED)
    play(guard, BERT, BERT, track_id=8)
    assert guard.coherence.weight == 3
    assert guard.coherence.mean == pytest.approx((1.0 + 0.8 + 1.0) / 3)


def test_coherence_begins_again_with_another_space(guard: SwitchGuard) -> None:
    play(guard, ANNA, BERT)
    guard.restart()
    play(guard, ANNA, ANNA)
    assert guard.coherence == Coherence(pytest.approx(1.0), 1)


def test_coherence_forgets_what_was_long_ago() -> None:
    coherence = Coherence()
    for cosine in [0.0] * 1000 + [1.0] * 10_000:
        coherence = coherence.including(cosine)
    assert coherence.mean == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(
    ("parts", "mean"),
    [
        ([], 0.0),
        ([Coherence()], 0.0),
        ([Coherence(0.5, 29)], 0.0),
        ([Coherence(0.5, 10), Coherence(0.9, 30), Coherence()], 0.8),
    ],
    ids=["none", "unseen", "too few", "by weight"],
)
def test_coherence_of_several_cameras_is_weighted(parts: list[Coherence], mean: float) -> None:
    assert mean_coherence(parts) == pytest.approx(mean)
