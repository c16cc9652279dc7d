from __future__ import annotations

import numpy as np
import pytest

from edge.switches import Judgement, SwitchGuard, SwitchSettings

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
