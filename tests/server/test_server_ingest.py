from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from fakes_stream import DIM, SECOND_US, SERVED, SPOOL, ServerParts, batch, look, observation
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from server.admission import Batch
from server.errors import StorageError
from server.matching.online import MatchingSettings
from server.storage.schema import observations
from server.types import PrototypeRef, Spool, Totals


def stored_seqs(parts: ServerParts) -> list[int]:
    with parts.engine.connect() as connection:
        return sorted(connection.scalars(select(observations.c.seq)))


def limit_pages(parts: ServerParts, *, more: int) -> None:
    """Bound the size of the database, as a full disk does."""
    with parts.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages + more}")


def walk(person: int, *, camid: str = "cam1", tracklet_id: int, start_s: float, first_seq: int) -> Batch:
    return batch(
        first_seq,
        *(observation(person, camid=camid, tracklet_id=tracklet_id, time_s=start_s + i) for i in range(4)),
    )


def test_a_step_stores_and_acknowledges(parts: ServerParts) -> None:
    assert parts.ingest.step([batch(1, observation(), observation(time_s=1))]) == [2]
    assert stored_seqs(parts) == [1, 2]
    assert parts.ingest.acked_seq(SPOOL) == 2
    assert parts.summaries.totals() == Totals(num_observations=2, num_tracklets=1, num_persons=0, num_provisional=1)


def test_a_person_is_provisional_until_enough_was_seen_and_confirmed_for_good(parts: ServerParts) -> None:
    seen: list[tuple[bool, int, int]] = []
    for number in range(1, 4):
        parts.ingest.step([batch(number, observation(time_s=number))])
        seen.append((parts.ingest.is_confirmed(1), parts.ingest.num_persons, parts.ingest.num_provisional))
    assert seen == [(False, 0, 1), (False, 0, 1), (True, 1, 0)]
    assert parts.ingest.counts.confirmed_persons == 1
    again = parts.reopen()
    assert (again.ingest.is_confirmed(1), again.summaries.totals().num_persons) == (True, 1)


def test_one_poor_crop_is_no_identity_however_long_nothing_follows(parts: ServerParts) -> None:
    parts.ingest.step([batch(1, observation(quality=0.1))])
    again = parts.reopen()
    assert (again.ingest.is_confirmed(1), again.ingest.num_provisional) == (False, 1)
    assert again.summaries.list_persons(after_person_id=0, limit=9) == []


def test_a_repeat_changes_nothing_and_is_counted(parts: ServerParts) -> None:
    parts.ingest.step([batch(1, observation(), observation(time_s=1))])
    assert parts.ingest.step([batch(1, observation(), observation(time_s=1), observation(time_s=2))]) == [3]
    assert stored_seqs(parts) == [1, 2, 3]
    assert parts.ingest.counts.num_duplicates == 2


def test_a_repeat_within_one_step_is_stored_once(parts: ServerParts) -> None:
    assert parts.ingest.step([batch(1, observation()), batch(1, observation()), batch(2, observation(time_s=1))])
    assert stored_seqs(parts) == [1, 2]


def test_spools_count_by_themselves(parts: ServerParts) -> None:
    other = Spool("edge1", "spool2")
    parts.ingest.step([batch(1, observation(), observation(time_s=1))])
    assert parts.ingest.step([batch(1, observation(tracklet_id=2, time_s=9), spool=other)]) == [1]
    assert stored_seqs(parts) == [1, 1, 2]


def test_refused_observations_are_acknowledged_but_not_stored(parts: ServerParts) -> None:
    judged = replace(batch(1, observation()), last_seq=3, rejected_seqs=(2, 3))
    assert parts.ingest.step([judged]) == [3]
    parts.ingest.step([judged])
    assert parts.ingest.counts.num_rejected == 2
    assert parts.reopen().ingest.acked_seq(SPOOL) == 3


def test_a_batch_without_a_valid_observation_moves_the_acknowledgement(parts: ServerParts) -> None:
    refused = Batch(spool=SPOOL, space=SERVED.space, observations=(), last_seq=5, rejected_seqs=(5,))
    assert parts.ingest.step([refused]) == [5]


def test_one_person_in_two_cameras_is_found_by_the_gallery(parts: ServerParts) -> None:
    parts.ingest.step([walk(0, tracklet_id=1, start_s=0, first_seq=1)])
    parts.ingest.step([walk(0, camid="cam2", tracklet_id=2, start_s=50, first_seq=5)])
    assert parts.person_of(1) == parts.person_of(2, "cam2") == 1
    hits = parts.gallery.search(look(0)[np.newaxis], top=2)
    assert {PrototypeRef.from_key(int(key)).person_id for key in hits.keys_QK[0]} == {1}


def test_equal_names_of_two_edges_are_different_cameras_and_tracklets(parts: ServerParts) -> None:
    other = Spool("edge2", "spool1")
    parts.ingest.step([batch(1, observation(0)), batch(1, observation(1), spool=other)])
    assert parts.person_of(1) != parts.person_of(1, edge_id="edge2")


def test_after_a_failed_commit_nothing_is_stored_and_the_resend_is(parts: ServerParts) -> None:
    parts.ingest.step([walk(0, tracklet_id=1, start_s=0, first_seq=1)])
    parts.records.num_failures = 1
    with pytest.raises(StorageError, match="disk full"):
        parts.ingest.step([walk(1, tracklet_id=2, start_s=0, first_seq=5)])
    assert parts.ingest.acked_seq(SPOOL) == 4
    assert len(parts.gallery) == 1
    assert parts.ingest.step([walk(1, tracklet_id=2, start_s=0, first_seq=5)]) == [8]
    assert (parts.person_of(1), parts.person_of(2)) == (1, 2)
    assert parts.ingest.counts.num_duplicates == 0


def test_a_full_disk_refuses_and_goes_on_when_there_is_room(parts: ServerParts) -> None:
    parts.ingest.step([batch(1, observation())])
    limit_pages(parts, more=0)
    big = batch(2, *(observation(time_s=i, tracklet_id=i) for i in range(2, 500)))
    with pytest.raises(StorageError, match="full"):
        parts.ingest.step([big])
    limit_pages(parts, more=1_000_000)
    assert parts.ingest.step([big]) == [big.last_seq]


def test_person_ids_and_gallery_are_the_same_after_a_restart(parts: ServerParts) -> None:
    for person in range(4):
        for camera in range(2):
            first_seq = 1 + 4 * (2 * person + camera)
            tracklet_id, start_s = 2 * person + camera, 100 * camera
            parts.ingest.step(
                [walk(person, camid=f"cam{camera}", tracklet_id=tracklet_id, start_s=start_s, first_seq=first_seq)]
            )
    before = list(parts.summaries.iter_summaries(person_id=0, with_sightings=False))
    hits = parts.gallery.search(np.stack([look(person) for person in range(4)]), top=3)
    again = parts.reopen()
    assert list(again.summaries.iter_summaries(person_id=0, with_sightings=False)) == before
    new_hits = again.gallery.search(np.stack([look(person) for person in range(4)]), top=3)
    assert np.array_equal(np.sort(hits.keys_QK[:, :2]), np.sort(new_hits.keys_QK[:, :2]))
    again.ingest.step([walk(2, camid="cam9", tracklet_id=50, start_s=300, first_seq=100)])
    assert again.person_of(50, "cam9") == again.person_of(4, "cam0")


def test_a_young_person_folded_is_gone_but_its_number_is_not_used_again(parts: ServerParts) -> None:
    parts.ingest.step([walk(0, tracklet_id=1, start_s=0, first_seq=1)])
    parts.ingest.step([batch(5, observation(0, tracklet_id=2, time_s=50, noise=1.0))])
    parts.ingest.step(
        [walk(0, tracklet_id=2, start_s=51, first_seq=6), walk(0, tracklet_id=2, start_s=55, first_seq=10)]
    )
    assert parts.person_of(2) == 1
    assert [person.person_id for person in parts.summaries.list_persons(after_person_id=0, limit=9)] == [1]
    again = parts.reopen()
    again.ingest.step([walk(3, tracklet_id=3, start_s=0, first_seq=50)])
    assert again.person_of(3) == 3


def test_a_tracklet_that_memory_forgot_goes_on_where_it_was(parts: ServerParts) -> None:
    parts = ServerParts(parts.data, clock=parts.clock, matching=MatchingSettings(memory_s=100))
    parts.ingest.step([walk(0, tracklet_id=1, start_s=0, first_seq=1)])
    parts.clock.now_us += 500 * SECOND_US
    parts.ingest.step([walk(1, tracklet_id=2, start_s=500, first_seq=5)])
    parts.ingest.step([walk(0, tracklet_id=1, start_s=4, first_seq=9)])
    (person,) = parts.summaries.get_persons([parts.person_of(1)]).values()
    assert (person.num_tracklets, person.num_observations) == (1, 8)
    assert parts.summaries.totals().num_tracklets == 2


def test_old_tracklets_are_restored_for_search_but_not_compared_in_time(parts: ServerParts) -> None:
    parts.ingest.step([walk(0, tracklet_id=1, start_s=0, first_seq=1)])
    parts.clock.now_us += 10**15
    again = parts.reopen()
    assert len(again.gallery) == 1
    again.ingest.step([walk(0, tracklet_id=1, start_s=4, first_seq=5)])
    assert again.summaries.totals().num_tracklets == 1


def num_impossible_pairs(parts: ServerParts) -> int:
    """Pairs of tracklets that show one person twice in one camera at one moment."""
    found = list(parts.summaries.iter_summaries(person_id=0, with_sightings=False))
    return sum(
        (one.camera, one.person_id) == (other.camera, other.person_id)
        and one.start_us <= other.end_us
        and other.start_us <= one.end_us
        for one, other in combinations(found, 2)
    )


ARRIVALS = st.tuples(st.integers(0, 2), st.integers(0, 7), st.integers(-10, 10), st.sampled_from([0.0, 0.5, 1.0]))
TURNS = st.tuples(st.lists(ARRIVALS, min_size=1, max_size=6), st.sampled_from([1, 1, 200]), st.booleans())


@settings(max_examples=8, deadline=None)
@given(st.lists(TURNS, min_size=6, max_size=10))
def test_nobody_is_twice_in_one_camera_at_one_moment_whatever_memory_forgot(
    turns: list[tuple[list[tuple[int, int, int, float]], int, bool]],
) -> None:
    with TemporaryDirectory() as folder:
        parts, seq = ServerParts(Path(folder), matching=MatchingSettings(memory_s=100)), 1
        for turn, (arrivals, pause_s, restarts) in enumerate(turns):
            parts.clock.now_us += pause_s * SECOND_US
            parts = parts.reopen() if restarts else parts
            items = [
                observation(person, tracklet_id=name, time_s=turn + late_s, quality=0.3, noise=noise)
                for person, name, late_s, noise in arrivals
            ]
            parts.ingest.step([batch(seq, *items)])
            seq += len(items)
        assert num_impossible_pairs(parts) == 0
        parts.engine.dispose()


def test_a_closed_tracklet_leaves_memory_and_is_still_a_rival(parts: ServerParts) -> None:
    parts = ServerParts(parts.data, clock=parts.clock, matching=MatchingSettings(memory_s=100))
    parts.ingest.step([walk(0, tracklet_id=1, start_s=0, first_seq=1)])
    parts.clock.now_us += 500 * SECOND_US
    parts.ingest.step([walk(1, tracklet_id=2, start_s=500, first_seq=5)])
    assert len(parts.ingest._recent) == 1
    parts.ingest.step([walk(0, tracklet_id=3, start_s=2, first_seq=9)])
    assert parts.person_of(3) != parts.person_of(1)
    parts.ingest.step([walk(0, tracklet_id=4, start_s=600, first_seq=13)])
    assert parts.person_of(4) in (parts.person_of(1), parts.person_of(3))


def test_clocks_that_are_years_off_harm_nobody_else(parts: ServerParts) -> None:
    wild = [observation(5, tracklet_id=9, time_s=0), observation(5, tracklet_id=9, time_s=0)]
    wild = [replace(wild[0], time_us=-(2**63)), replace(wild[1], time_us=2**63 - 1)]
    parts.ingest.step([batch(1, *wild), walk(0, tracklet_id=1, start_s=0, first_seq=3)])
    parts.ingest.step([walk(0, camid="cam2", tracklet_id=2, start_s=50, first_seq=7)])
    assert parts.person_of(1) == parts.person_of(2, "cam2")


EVENTS = st.tuples(st.sampled_from(["send", "send", "fail", "restart"]), st.integers(0, 11), st.integers(1, 6))


@settings(max_examples=12, deadline=None)
@given(st.lists(EVENTS, max_size=8))
def test_any_sequence_of_batches_with_repeats_and_reconnects_stores_each_seq_once(
    events: list[tuple[str, int, int]],
) -> None:
    total = 12
    with TemporaryDirectory() as folder:
        parts, acked = ServerParts(Path(folder)), 0
        for event, num_back, count in [*events, ("send", 0, total)]:
            if event == "restart":
                parts = parts.reopen()
            first = max(1, acked + 1 - num_back)
            acked = send(parts, first, min(total, first + count - 1), acked, fails=event == "fail")
            assert parts.ingest.acked_seq(SPOOL) == acked
        assert stored_seqs(parts) == list(range(1, total + 1))
        assert parts.summaries.totals().num_observations == total
        tracklets = parts.summaries.iter_summaries(person_id=0, with_sightings=True)
        assert sum(len(t.sightings) for t in tracklets) == total
        parts.engine.dispose()


def send(parts: ServerParts, first: int, last: int, acked: int, *, fails: bool) -> int:
    items = batch(first, *(observation(seq % DIM, tracklet_id=seq // 3, time_s=seq) for seq in range(first, last + 1)))
    parts.records.num_failures = int(fails)
    try:
        (answer,) = parts.ingest.step([items])
    except StorageError:
        assert fails
        return acked
    assert answer == max(acked, last)
    return answer


def test_steps_of_many_edges_keep_apart(parts: ServerParts) -> None:
    spools: Sequence[Spool] = [Spool(f"edge{i}", "s") for i in range(5)]
    acked = parts.ingest.step([batch(1 + i, observation(i), spool=spool) for i, spool in enumerate(spools)])
    assert acked == [1, 2, 3, 4, 5]
    assert [edge.acked_seq for edge in parts.summaries.list_edges()] == acked
