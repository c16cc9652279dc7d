from __future__ import annotations

import numpy as np
import pytest
from fakes_stream import SECOND_US, look, observation

from server.matching.persons import PersonBook
from server.matching.tracklets import MaturitySettings, new_tracklet, pool
from server.types import NO_PERSON, PrototypeRef, Tracklet, TrackletName


def tracklet(key: int, person: int, *, camera_key: int = 1, start_s: float = 0, count: int = 3) -> Tracklet:
    observations = [observation(person, time_s=start_s + index) for index in range(count)]
    made = new_tracklet(TrackletName(camera_key, key, "s"), observations[0], tracklet_key=key)
    pool(made, observations)
    return made


@pytest.fixture
def book() -> PersonBook:
    return PersonBook(MaturitySettings(weight=3.0), camera_prior=15.0)


def test_a_prototype_is_the_unit_mean_of_the_tracklets_of_one_camera(book: PersonBook) -> None:
    book.attach(tracklet(1, 0), 5)
    book.attach(tracklet(2, 1, start_s=10), 5)
    book.attach(tracklet(3, 2, camera_key=2), 5)
    changed, gone = book.take_changed()
    assert gone == []
    assert np.allclose(changed[PrototypeRef(5, 1)], (look(0) + look(1)) / np.sqrt(2), atol=1e-6)
    assert np.allclose(changed[PrototypeRef(5, 2)], look(2))


def test_a_young_tracklet_moves_a_prototype_less(book: PersonBook) -> None:
    book.attach(tracklet(1, 0), 5)
    book.attach(tracklet(2, 1, start_s=10, count=1), 5)
    expected = look(0) + look(1) / 3
    assert np.allclose(book.take_changed()[0][PrototypeRef(5, 1)], expected / np.linalg.norm(expected), atol=1e-6)


def test_detaching_undoes_attaching(book: PersonBook) -> None:
    stays, leaves = tracklet(1, 0), tracklet(2, 1, start_s=10)
    book.attach(stays, 5)
    book.attach(leaves, 5)
    assert book.detach(leaves) == 5
    assert leaves.person_id == NO_PERSON
    assert np.allclose(book.take_changed()[0][PrototypeRef(5, 1)], look(0), atol=1e-6)


def test_a_person_goes_with_the_last_tracklet(book: PersonBook) -> None:
    only = tracklet(1, 0)
    book.attach(only, 5)
    book.take_changed()
    book.detach(only)
    assert 5 not in book
    assert book.take_changed() == ({}, [PrototypeRef(5, 1)])


def test_rivals_are_found_in_the_same_camera_and_moment_only(book: PersonBook) -> None:
    there = tracklet(1, 0)
    book.attach(there, 5)
    assert book.rival(tracklet(2, 0, start_s=1), 5) is there
    assert book.rival(tracklet(3, 0, start_s=9), 5) is None
    assert book.rival(tracklet(4, 0, start_s=1, camera_key=2), 5) is None


def test_forgotten_tracklets_count_but_are_no_rivals_until_recalled(book: PersonBook) -> None:
    there = tracklet(1, 0)
    book.attach(there, 5)
    book.forget(there)
    assert 5 in book
    assert book.rival(tracklet(2, 0), 5) is None
    book.recall(there)
    assert book.rival(tracklet(2, 0), 5) is there


def test_a_person_is_confirmed_once_by_all_tracklets_together(book: PersonBook) -> None:
    book.attach(tracklet(1, 0, count=2), 5)
    assert (book.take_confirmed(), book.is_confirmed(5)) == ([], False)
    book.attach(tracklet(2, 0, camera_key=2, count=2), 5)
    assert (book.take_confirmed(), book.is_confirmed(5)) == ([5], True)
    book.attach(tracklet(3, 0, camera_key=3), 5)
    assert book.take_confirmed() == []


def test_a_confirmed_person_stays_so_when_tracklets_leave_and_goes_with_the_last(book: PersonBook) -> None:
    stays, leaves = tracklet(1, 0, count=1), tracklet(2, 0, camera_key=2)
    book.attach(stays, 5)
    book.attach(leaves, 5)
    book.take_confirmed()
    book.detach(leaves)
    assert book.is_confirmed(5)
    book.detach(stays)
    book.take_changed()
    assert (book.num_confirmed, book.is_confirmed(5)) == (0, False)


def test_only_what_makes_a_provisional_person_clear_may_join(book: PersonBook) -> None:
    book.attach(tracklet(1, 0, count=1), 5)
    assert not book.may_gather(tracklet(2, 0, start_s=9, count=1), 5)
    assert book.may_gather(tracklet(3, 0, start_s=9, count=2), 5)
    book.confirm([5, 99])
    assert book.may_gather(tracklet(2, 0, start_s=9, count=1), 5)
    assert book.num_confirmed == 1


def test_the_gap_is_measured_to_the_span_of_the_person(book: PersonBook) -> None:
    book.attach(tracklet(1, 0, start_s=100), 5)
    assert book.gap_us(tracklet(2, 0, start_s=110), 5) == 8 * SECOND_US
    assert book.gap_us(tracklet(3, 0, start_s=90), 5) == 8 * SECOND_US
    assert book.gap_us(tracklet(4, 0, start_s=101), 5) == 0


def test_similarity_is_that_to_the_mean_over_all_cameras(book: PersonBook) -> None:
    book.attach(tracklet(1, 0), 5)
    assert book.similarity(look(0), 5) == pytest.approx(1.0)
    book.attach(tracklet(2, 3, camera_key=2), 5)
    assert book.similarity(look(3), 5) == pytest.approx(0.5**0.5)
    assert book.similarities(look(3), [5]) == pytest.approx([0.5**0.5])


def test_a_person_was_last_seen_where_the_latest_tracklet_ended(book: PersonBook) -> None:
    book.attach(tracklet(1, 0, camera_key=2, start_s=100), 5)
    book.attach(tracklet(2, 0, camera_key=1), 5)
    assert book.last_seen(5) == (2, 102 * SECOND_US)
