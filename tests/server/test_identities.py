from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import numpy as np
import pytest
from fakes_stream import DIM, SERVED, ServerParts, batch, observation

from server.consolidator import SYSTEM, Consolidator
from server.errors import ConflictError, NotFoundError
from server.identities import Identities, IdentityChange
from server.ingest import Batch
from server.matching.consolidation import ConsolidationSettings, consolidate
from server.matching.tracklets import MaturitySettings
from server.storage.members import SqlMembers
from server.types import Actor, PrototypeRef

ANNA = Actor("anna", "operator")


def walk(person: int, *, tracklet_id: int, start_s: float, first_seq: int, views: int = 4, noise: float = 0.0) -> Batch:
    return batch(
        first_seq,
        *(observation(person, tracklet_id=tracklet_id, time_s=start_s + i, noise=noise) for i in range(views)),
    )


def identities_of(parts: ServerParts) -> Identities:
    members = SqlMembers(parts.engine, spaces=lambda: parts.ingest.spaces)
    return Identities(parts.ingest, parts.records, members, parts.summaries, clock_us=parts.clock)


@pytest.fixture
def identities(parts: ServerParts) -> Identities:
    """Persons 1, 2 and 3 with tracklets 1 and 4, 2, and 3; 4 looks like 1, and nobody else like another."""
    for index, (person, start_s) in enumerate([(0, 0), (1, 100), (2, 200), (0, 300)]):
        parts.ingest.step([walk(person, tracklet_id=index + 1, start_s=start_s, first_seq=1 + 4 * index)])
    return identities_of(parts)


def who(parts: ServerParts) -> list[int]:
    return [parts.person_of(tracklet_id) for tracklet_id in (1, 2, 3, 4)]


def shown(parts: ServerParts) -> dict[int, list[float]]:
    """What the gallery finds, by person."""
    hits = parts.gallery.search(np.eye(DIM, dtype=np.float32), top=8)
    refs = {PrototypeRef.from_key(int(key)) for key in hits.keys_QK.ravel() if key >= 0}
    found = {ref.person_id: hits.similarities_QK[hits.keys_QK == ref.prototype_key] for ref in refs}
    return {person_id: np.round(np.sort(values), 3).tolist() for person_id, values in sorted(found.items())}


def test_who_an_operator_speaks_of_is_no_longer_provisional(parts: ServerParts) -> None:
    for person in range(2):
        parts.ingest.step([walk(person, tracklet_id=person, start_s=100 * person, first_seq=person + 1, views=1)])
    identities_of(parts).name(2, "Ann", ANNA)
    again = parts.reopen()
    assert [parts.ingest.is_confirmed(person_id) for person_id in (1, 2)] == [False, True]
    assert [again.ingest.is_confirmed(person_id) for person_id in (1, 2)] == [False, True]


def outcomes(parts: ServerParts) -> list[tuple[str, str, str]]:
    return [(entry.actor.name, entry.what, entry.outcome[:20]) for entry in parts.records.iter_audit()]


def test_a_merge_moves_everything_to_the_first(parts: ServerParts, identities: Identities) -> None:
    assert who(parts) == [1, 2, 3, 1]
    change = identities.merge([2, 1], ANNA)
    assert (change.person_ids, change.num_tracklets) == ((2,), 2)
    assert who(parts) == [2, 2, 3, 2]
    assert sorted(shown(parts)) == [2, 3]
    assert outcomes(parts) == [("anna", "merge", "done")]


def test_memory_after_an_operation_is_what_a_restart_reads(parts: ServerParts, identities: Identities) -> None:
    identities.merge([1, 2], ANNA)
    identities.split(1, [("edge1", "cam1", 4)], ANNA)
    before = shown(parts)
    again = parts.reopen()
    assert (shown(again), who(again)) == (before, [1, 1, 3, 4])
    again.ingest.step([walk(5, tracklet_id=9, start_s=900, first_seq=17)])
    assert again.person_of(9) == 5
    again.engine.dispose()


def test_undoing_a_merge_restores_the_former_persons(parts: ServerParts, identities: Identities) -> None:
    before = shown(parts)
    identities.name(2, "Bo", ANNA)
    merged = identities.merge([1, 2, 3], ANNA)
    assert parts.summaries.get_persons([1])[1].name == "Bo"
    identities.undo(merged.event_key, ANNA)
    assert (who(parts), shown(parts)) == ([1, 2, 3, 1], before)
    assert [person.name for person in parts.summaries.list_persons(after_person_id=0, limit=9)] == ["", "Bo", ""]
    assert parts.records.read_links() == []
    with pytest.raises(ConflictError, match=f"event {merged.event_key} was undone already"):
        identities.undo(merged.event_key, ANNA)


def test_undoing_a_split_folds_the_person_that_it_made(parts: ServerParts, identities: Identities) -> None:
    made = identities.split(1, [("edge1", "cam1", 4)], ANNA)
    assert (made.person_ids, who(parts)) == ((4,), [1, 2, 3, 4])
    undone = identities.undo(made.event_key, ANNA)
    assert who(parts) == [1, 2, 3, 1]
    assert parts.records.read_event(undone.event_key).folded == {4: 1}
    assert [event.kind for event in parts.records.iter_events(4)] == ["split", "undo"]


def test_what_was_moved_since_stays_when_an_event_is_undone(parts: ServerParts, identities: Identities) -> None:
    merged = identities.merge([1, 2], ANNA)
    identities.split(1, [("edge1", "cam1", 2)], ANNA)
    identities.undo(merged.event_key, ANNA)
    assert who(parts) == [1, 4, 3, 1]


def test_two_in_one_camera_at_one_moment_are_not_merged(parts: ServerParts, identities: Identities) -> None:
    parts.ingest.step([walk(6, tracklet_id=9, start_s=101, first_seq=17)])
    with pytest.raises(ConflictError, match="in one camera at one moment"):
        identities.merge([2, parts.person_of(9)], ANNA)
    assert outcomes(parts)[0][2] != "done"
    assert list(parts.records.iter_events(0)) == []


@pytest.mark.parametrize(
    ("operation", "error", "message"),
    [
        (lambda it: it.merge([1], ANNA), ConflictError, "needs two persons"),
        (lambda it: it.merge([1, 1], ANNA), ConflictError, "needs two persons"),
        (lambda it: it.merge([1, 77], ANNA), NotFoundError, "no person 77"),
        (lambda it: it.split(1, [], ANNA), ConflictError, "person 1 has 2, came 0"),
        (lambda it: it.split(2, [("edge1", "cam1", 2)], ANNA), ConflictError, "not all"),
        (lambda it: it.split(1, [("edge1", "cam1", 2)], ANNA), NotFoundError, "no tracklet 2 of camera cam1"),
        (lambda it: it.undo(99, ANNA), NotFoundError, "no event 99"),
        (lambda it: it.name(1, "a\nb", ANNA), ConflictError, "one line"),
        (lambda it: it.name(8, "a", ANNA), NotFoundError, "no person 8"),
        (lambda it: it.erase(8, ANNA), NotFoundError, "no person 8"),
    ],
)
def test_what_cannot_be_done_is_explained_audited_and_changes_nothing(
    parts: ServerParts,
    identities: Identities,
    operation: Callable[[Identities], IdentityChange],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        operation(identities)
    assert who(parts) == [1, 2, 3, 1]
    assert [outcome != "done" for *_, outcome in outcomes(parts)] == [True]


def test_an_erased_person_is_gone_everywhere_and_comes_back_as_a_stranger(
    parts: ServerParts, identities: Identities
) -> None:
    assert identities.erase(1, ANNA).num_tracklets == 2
    assert sorted(shown(parts)) == [2, 3]
    assert outcomes(parts) == [("anna", "erase", "done")]
    parts.ingest.step([walk(0, tracklet_id=1, start_s=400, first_seq=17)])
    assert parts.person_of(1) == 4


def test_a_name_is_kept_and_can_be_taken_away(parts: ServerParts, identities: Identities) -> None:
    named = identities.name(1, "Anna B. ", ANNA)
    assert parts.summaries.get_persons([1])[1].name == "Anna B."
    identities.name(1, "", ANNA)
    assert parts.summaries.get_persons([1])[1].name == ""
    with pytest.raises(ConflictError, match="is of kind 'name'"):
        identities.undo(named.event_key, ANNA)


def test_a_young_tracklet_that_was_split_off_does_not_return_by_itself(parts: ServerParts) -> None:
    parts.ingest.step([walk(0, tracklet_id=1, start_s=0, first_seq=1)])
    parts.ingest.step([walk(0, tracklet_id=2, start_s=100, first_seq=5, views=1)])
    assert parts.person_of(2) == 1
    identities_of(parts).split(1, [("edge1", "cam1", 2)], ANNA)
    parts.ingest.step([walk(0, tracklet_id=2, start_s=101, first_seq=6, views=1)])
    assert parts.person_of(2) == 2


def test_a_young_tracklet_that_was_merged_stays(parts: ServerParts) -> None:
    parts.ingest.step([walk(0, tracklet_id=1, start_s=0, first_seq=1)])
    parts.ingest.step([walk(1, tracklet_id=2, start_s=100, first_seq=5, views=1)])
    other = parts.person_of(2)
    identities_of(parts).merge([1, other], ANNA)
    parts.ingest.step([walk(1, tracklet_id=2, start_s=101, first_seq=6, views=1)])
    assert parts.person_of(2) == 1


def consolidator_of(parts: ServerParts, identities: Identities) -> Consolidator:
    async def submit(operation: Callable[[], IdentityChange | None]) -> IdentityChange | None:
        return operation()

    submitting: Callable[[Callable[[], IdentityChange | None]], Awaitable[IdentityChange | None]] = submit
    return Consolidator(
        identities,
        parts.records,
        SqlMembers(parts.engine, spaces=lambda: parts.ingest.spaces),
        submitting,
        settings=ConsolidationSettings(),
        maturity=MaturitySettings(),
        spaces=lambda: parts.ingest.spaces,
        clock_us=parts.clock,
    )


@pytest.fixture
def torn(parts: ServerParts) -> Identities:
    """One who looks the same all day, torn into persons 1 and 2 by somebody who undid a consolidation of nothing."""
    parts.ingest.step([walk(0, tracklet_id=1, start_s=0, first_seq=1)])
    parts.ingest.step([walk(0, tracklet_id=2, start_s=100, first_seq=5)])
    identities = identities_of(parts)
    split = identities.split(1, [("edge1", "cam1", 2)], ANNA)
    with parts.engine.begin() as connection:
        connection.exec_driver_sql(f"DELETE FROM links WHERE event_key = {split.event_key}")
    parts.ingest.restore()
    return identities


def persons_of(parts: ServerParts, tracklet_ids: Sequence[int]) -> list[int]:
    return [parts.person_of(tracklet_id) for tracklet_id in tracklet_ids]


def test_consolidation_joins_what_was_torn_and_its_undoing_is_a_word_that_holds(
    parts: ServerParts, torn: Identities
) -> None:
    consolidator = consolidator_of(parts, torn)
    report = asyncio.run(consolidator.consolidate(SYSTEM))
    assert (report.num_tracklets, report.num_moved, report.num_skipped) == (2, 1, 0)
    assert persons_of(parts, [1, 2]) == [1, 1]
    torn.undo(report.event_keys[0], ANNA)
    assert persons_of(parts, [1, 2]) == [1, 2]
    assert asyncio.run(consolidator.consolidate(SYSTEM)).event_keys == ()
    assert persons_of(parts, [1, 2]) == [1, 2]


def test_an_operators_split_is_not_undone_by_consolidation(parts: ServerParts) -> None:
    parts.ingest.step([walk(0, tracklet_id=1, start_s=0, first_seq=1)])
    parts.ingest.step([walk(0, tracklet_id=2, start_s=100, first_seq=5)])
    identities = identities_of(parts)
    identities.split(1, [("edge1", "cam1", 2)], ANNA)
    assert asyncio.run(consolidator_of(parts, identities).consolidate(SYSTEM)).event_keys == ()
    assert persons_of(parts, [1, 2]) == [1, 2]


def test_an_operators_merge_is_not_undone_by_consolidation(parts: ServerParts, identities: Identities) -> None:
    identities.merge([1, 2, 3], ANNA)
    assert asyncio.run(consolidator_of(parts, identities).consolidate(SYSTEM)).event_keys == ()
    assert who(parts) == [1, 1, 1, 1]


def test_persons_outside_the_window_are_left_alone(parts: ServerParts, torn: Identities) -> None:
    parts.clock.now_us += 3600 * 1_000_000
    report = asyncio.run(consolidator_of(parts, torn).consolidate(SYSTEM, window_s=60))
    assert report.num_tracklets == 0


def test_persons_that_changed_since_they_were_read_are_left_to_the_next_time(
    parts: ServerParts, torn: Identities
) -> None:
    members = SqlMembers(parts.engine, spaces=lambda: parts.ingest.spaces)
    (regrouping,) = consolidate(
        members.read_members([1, 2]),
        [],
        settings=ConsolidationSettings(),
        maturity=MaturitySettings(),
        threshold=SERVED.threshold,
        next_person_id=3,
    )
    parts.ingest.step([walk(0, tracklet_id=3, start_s=200, first_seq=9)])
    assert torn.regroup(regrouping, SYSTEM) is None
    assert parts.person_of(2) == 2
