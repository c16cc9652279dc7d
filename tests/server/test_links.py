from __future__ import annotations

from dataclasses import replace

from fakes_stream import look

from server.matching.links import LinkBook, Word
from server.types import Tracklet


def tracklet(key: int, person_id: int) -> Tracklet:
    return Tracklet(
        tracklet_key=key,
        camera_key=1,
        tracklet_id=key,
        space="s",
        start_us=0,
        end_us=1,
        num_observations=1,
        weight=1.0,
        embedding_sum=look(0),
        person_id=person_id,
    )


def test_a_tracklet_never_joins_the_person_of_its_enemy() -> None:
    links = LinkBook()
    links.replace([Word(1, 2, is_together=False)])
    links.follow(tracklet(2, 7))
    assert not links.may_join(1, 7)
    assert links.may_join(1, 8)
    assert links.may_join(3, 7)


def test_an_enemy_is_followed_to_its_new_person() -> None:
    links = LinkBook()
    links.replace([Word(1, 2, is_together=False)])
    links.follow(tracklet(2, 7))
    links.follow(replace(tracklet(2, 7), person_id=9))
    assert links.may_join(1, 7)
    assert not links.may_join(1, 9)


def test_those_said_to_be_together_are_pinned_until_the_word_is_withdrawn() -> None:
    links = LinkBook()
    links.replace([Word(1, 2, is_together=True), Word(3, 4, is_together=False)])
    assert [links.is_pinned(key) for key in (1, 2, 3)] == [True, True, False]
    links.replace([])
    assert not links.is_pinned(1)
    assert links.may_join(3, 7)
