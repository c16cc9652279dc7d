from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from makers import unit_vector

from edge.keyframes import KeyframePolicy, KeyframeSettings, View
from reid.types import Box

FRONT, BACK = unit_vector(1.0), unit_vector(0.0, 1.0)


def view(time_s, quality=0.5, embedding=FRONT, track_id=1):
    return View(track_id, round(time_s * 1e6), time_s, Box(0, 0, 50, 120), quality, embedding, "s1")


def play(views, *, end=False, **settings):
    """Offer views one by one; returns the times (s) of what was selected, and the policy."""
    policy = KeyframePolicy(KeyframeSettings(**settings))
    selections = [s for v in views for s in policy.update([v])] + (policy.end_all() if end else [])
    return [s.view.time_us / 1e6 for s in selections], policy


def test_first_view_goes_out_once_the_track_is_old_enough():
    times, _ = play([view(0.0, 0.2), view(0.1, 0.9), view(0.2, 0.4), view(0.3)], min_views=3)
    assert times == [0.1]


def test_flicker_is_never_sent():
    times, policy = play([view(0.0), view(0.1)], end=True, min_views=3)
    assert times == []
    assert policy.num_discarded == 1


def test_same_view_goes_out_once_a_second():
    times, _ = play([view(0.1 * i) for i in range(41)], min_views=1)
    assert len(times) == 4


def test_best_view_of_the_interval_goes_out():
    views = [view(0.1 * i, 0.9 if i == 5 else 0.3) for i in range(13)]
    assert play(views, min_views=1)[0] == pytest.approx([0.0, 0.5])


def test_changed_view_goes_out_early_and_is_one_of_the_changed():
    views = [view(0.1 * i, 0.9) for i in range(4)] + [view(0.4 + 0.1 * i, 0.3, BACK) for i in range(3)]
    assert play(views, min_views=1)[0] == pytest.approx([0.0, 0.5])


def test_single_odd_view_is_no_change():
    views = [view(0.0), view(0.3), view(0.4, 0.5, BACK), view(0.5), view(0.6)]
    assert play(views, min_views=1)[0] == [0.0]


def test_poor_views_are_not_sent():
    times, policy = play([view(0.1 * i, 0.01) for i in range(30)], end=True)
    assert times == []
    assert (policy.num_seen, policy.num_selected) == (30, 0)


def test_end_flushes_the_best_pending_view_as_last():
    policy = KeyframePolicy(KeyframeSettings(min_views=2))
    policy.update([view(0.0, 0.9)])
    policy.update([view(0.1, 0.5)])
    (last,) = policy.update([], ended=[1])
    assert last.is_last
    assert last.view.time_us == 0
    assert policy.update([], ended=[1]) == []


def test_begun_track_ends_with_is_last_even_if_it_ends_poorly():
    policy = KeyframePolicy(KeyframeSettings(min_views=1))
    policy.update([view(0.0)])
    assert len(policy.update([view(0.1, 0.0)])) == 1
    (last,) = policy.end_all()
    assert last.is_last


def test_clock_set_back_does_not_silence_a_track():
    times, _ = play([view(1000.0), view(1000.1), view(10.0), view(10.1)], min_views=1)
    assert times == pytest.approx([1000.0, 1000.1])


def test_tracks_are_judged_apart():
    policy = KeyframePolicy(KeyframeSettings(min_views=1))
    policy.update([view(0.0, track_id=1), view(0.0, track_id=2)])
    selections = policy.update([view(0.1, track_id=1)], ended=[2])
    assert [(s.view.track_id, s.is_last) for s in selections] == [(1, False), (2, True)]


@given(
    st.lists(st.tuples(st.integers(1, 3), st.floats(0, 1), st.sampled_from([FRONT, BACK]), st.booleans()), max_size=60)
)
def test_every_track_that_was_sent_ends_once_in_order_and_without_repeats(steps):
    policy, sent = KeyframePolicy(KeyframeSettings(min_views=2)), []
    track_of, fresh = {1: 1, 2: 2, 3: 3}, 4
    for frame, (person, quality, embedding, ends) in enumerate(steps):
        ended = [track_of[person]] if ends else []
        sent += policy.update([view(frame * 0.15, quality, embedding, track_of[person])], ended)
        if ends:
            track_of[person], fresh = fresh, fresh + 1
    sent += policy.end_all()
    for track_id in {s.view.track_id for s in sent}:
        mine = [s for s in sent if s.view.track_id == track_id]
        assert [s.is_last for s in mine] == [False] * (len(mine) - 1) + [True]
        times = [s.view.time_us for s in mine]
        assert times == sorted(set(times))
    assert policy.num_selected == len(sent)
