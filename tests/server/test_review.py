from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from fakes_stream import ServerParts
from test_identities import ANNA, identities_of, outcomes, walk, who

from server.errors import ConflictError, NotFoundError
from server.identities import Identities
from server.matching.consolidation import ConsolidationSettings
from server.matching.doubt import DoubtfulPair, Side
from server.matching.online import MatchingSettings
from server.review import Question, Review
from server.storage.members import SqlMembers
from server.storage.sightings import SqlSightings


@pytest.fixture
def identities(parts: ServerParts) -> Identities:
    """Persons 1, 2 and 3 with tracklets 1 and 4, 2, and 3; keys are the tracklets' numbers."""
    for index, (person, start_s) in enumerate([(0, 0), (1, 100), (2, 200), (0, 300)]):
        parts.ingest.step([walk(person, tracklet_id=index + 1, start_s=start_s, first_seq=1 + 4 * index)])
    return identities_of(parts)


def pair(one: tuple[int, list[int]], other: tuple[int, list[int]]) -> DoubtfulPair:
    sides = [Side(person_id=person, tracklet_keys=tuple(keys), face=keys[0]) for person, keys in (one, other)]
    return DoubtfulPair(one=sides[0], other=sides[1], similarity=0.5, probability=0.5, stake=1.0)


TWO_PERSONS = pair((1, [1, 4]), (2, [2]))
HALVES = pair((1, [1]), (1, [4]))


def links(parts: ServerParts) -> list[tuple[int, int, str]]:
    return [tuple(link) for link in parts.records.read_links()]


def kinds(parts: ServerParts) -> list[str]:
    return [event.kind for event in parts.records.iter_events(0)]


def test_two_persons_said_to_be_one_are_merged_by_a_link_between_their_faces(
    parts: ServerParts, identities: Identities
) -> None:
    identities.name(2, "Bo", ANNA)
    identities.judge(TWO_PERSONS, ANNA, is_same=True)
    assert (who(parts), links(parts)) == ([1, 1, 3, 1], [(1, 2, "must")])
    assert kinds(parts) == ["name", "merge"]
    assert parts.summaries.get_persons([1])[1].name == "Bo"


def test_two_persons_said_to_be_two_stay_and_are_never_joined(parts: ServerParts, identities: Identities) -> None:
    identities.judge(TWO_PERSONS, ANNA, is_same=False)
    assert (who(parts), links(parts), kinds(parts)) == ([1, 2, 3, 1], [(1, 2, "cannot")], ["different"])


def test_halves_said_to_be_two_are_split(parts: ServerParts, identities: Identities) -> None:
    change = identities.judge(HALVES, ANNA, is_same=False)
    assert (change.person_ids, who(parts)) == ((4,), [1, 2, 3, 4])
    assert (links(parts), kinds(parts)) == ([(1, 4, "cannot")], ["split"])


def test_halves_said_to_be_one_stay_together(parts: ServerParts, identities: Identities) -> None:
    identities.judge(HALVES, ANNA, is_same=True)
    assert (who(parts), links(parts), kinds(parts)) == ([1, 2, 3, 1], [(1, 4, "must")], ["same"])


@pytest.mark.parametrize("is_same", [True, False], ids=["same", "different"])
@pytest.mark.parametrize("asked", [TWO_PERSONS, HALVES], ids=["two persons", "halves"])
def test_every_answer_can_be_undone_and_is_what_a_restart_reads(
    parts: ServerParts, identities: Identities, asked: DoubtfulPair, is_same: bool
) -> None:
    change = identities.judge(asked, ANNA, is_same=is_same)
    assert who(parts.reopen()) == who(parts)
    identities.undo(change.event_key, ANNA)
    assert (who(parts), links(parts)) == ([1, 2, 3, 1], [])
    assert [what for _, what, outcome in outcomes(parts)] == ["review", "undo"]


def test_an_answer_about_what_changed_meanwhile_is_refused(parts: ServerParts, identities: Identities) -> None:
    identities.split(1, [("edge1", "cam1", 4)], ANNA)
    with pytest.raises(ConflictError, match="given to other persons"):
        identities.judge(HALVES, ANNA, is_same=True)
    identities.merge([3, 2], ANNA)
    with pytest.raises(NotFoundError, match="no person 2"):
        identities.judge(TWO_PERSONS, ANNA, is_same=True)
    assert len(kinds(parts)) == 2


def test_two_in_one_camera_at_one_moment_are_not_joined_by_an_answer(
    parts: ServerParts, identities: Identities
) -> None:
    parts.ingest.step([walk(6, tracklet_id=9, start_s=101, first_seq=17)])
    with pytest.raises(ConflictError, match="in one camera at one moment"):
        identities.judge(pair((2, [2]), (4, [5])), ANNA, is_same=True)
    assert links(parts) == []


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


async def at_once(operation: Callable[[], Any]) -> Any:
    return operation()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def review(parts: ServerParts, clock: Clock) -> Review:
    """Of persons 1 to 4, who look alike in pairs: 1 and 2, 3 and 4."""
    for index, (person, noise) in enumerate([(0, 0.0), (0, 0.7), (4, 0.0), (4, 0.8)]):
        parts.ingest.step(
            [walk(person, tracklet_id=index + 1, start_s=100 * index, first_seq=1 + 4 * index, noise=noise)]
        )
    return Review(
        identities_of(parts),
        parts.records,
        SqlMembers(parts.engine, spaces=lambda: parts.ingest.spaces),
        SqlSightings(parts.engine),
        at_once,
        consolidation=ConsolidationSettings(slack=0.4, split_slack=0.4),
        matching=MatchingSettings(),
        spaces=lambda: parts.ingest.spaces,
        clock_s=clock,
    )


def asked(questions: list[Question]) -> list[tuple[int, int]]:
    return [(question.pair.one.person_id, question.pair.other.person_id) for question in questions]


def test_questions_come_from_the_records_and_an_answer_is_the_end_of_one(parts: ServerParts, review: Review) -> None:
    async def scenario() -> None:
        first, *rest = await review.questions()
        assert sorted(asked([first, *rest])) == [(1, 2), (3, 4)]
        await review.answer(first.name, "different", ANNA)
        assert await review.questions() == rest
        with pytest.raises(NotFoundError, match="question is over"):
            await review.answer(first.name, "same", ANNA)

    asyncio.run(scenario())
    assert kinds(parts) == ["different"]


def test_not_sure_changes_nothing_and_puts_the_pair_aside_until_it_is_asked_for(
    parts: ServerParts, review: Review
) -> None:
    async def scenario() -> None:
        first, second = await review.questions()
        assert await review.answer(first.name, "unsure", ANNA) is None
        assert (await review.questions(), review.num_put_aside) == ([second], 1)
        review.ask_again()
        assert [each.name for each in await review.questions()] == [first.name, second.name]

    asyncio.run(scenario())
    assert kinds(parts) == []


def test_old_questions_are_worked_out_anew_beside_the_queue(parts: ServerParts, review: Review, clock: Clock) -> None:
    async def scenario() -> None:
        before = await review.questions()
        identities_of(parts).merge([1, 2], ANNA)
        clock.now_s += 61
        assert await review.questions() == before
        while len(asked(await review.questions())) != 1:
            await asyncio.sleep(0.01)
        assert asked(await review.questions()) == [(3, 4)]

    asyncio.run(scenario())


def test_what_was_shown_can_be_answered_after_the_queue_was_made_anew(review: Review, clock: Clock) -> None:
    async def scenario() -> None:
        first, *_ = await review.questions()
        review.note_shown(first)
        review.ask_again()
        assert review.find(first.name) == first

    asyncio.run(scenario())
