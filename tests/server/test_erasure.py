from __future__ import annotations

from pathlib import Path

import pytest
from fakes_records import SPACE, SPACES, SPOOL, fill, owners, stored_tracklet
from sqlalchemy import Engine, text

from server.errors import NotFoundError, StorageError
from server.storage.database import StorageSettings, open_database
from server.storage.erasure import RING_US
from server.storage.records import Changes, Link, Rearrangement, StoredObservation
from server.storage.sql import SqlRecords
from server.storage.summaries import SqlSummaries
from server.types import NO_PERSON, Actor, Totals, TrackletName

ANN = Actor("ann", "operator")


@pytest.fixture
def records(engine: Engine) -> SqlRecords:
    """Person 2 is folded into 1, who is named and linked; 3 stands alone."""
    records = SqlRecords(engine)
    fill(records, {1: 1, 2: 1, 3: 2, 4: 3})
    records.commit_rearrangement(Rearrangement(kind="name", actor="ann", time_us=5, names={1: "courier", 2: "guest"}))
    merge = Rearrangement(
        kind="merge", actor="ann", time_us=5, moves={3: 1}, folded_persons={2: 1}, links=[Link(1, 3, "must")]
    )
    records.commit_rearrangement(merge)
    return records


def test_an_erased_person_leaves_nothing_but_the_number(records: SqlRecords) -> None:
    deletion = records.erase_person(1, ANN, 70, spaces=SPACES)
    assert sorted(tracklet.tracklet_key for tracklet in deletion.tracklets) == [1, 2, 3]
    assert deletion.num_observations == 3
    assert owners(records) == {4: 3}
    assert records.read_links() == []
    events = list(records.iter_events(NO_PERSON))
    assert [(event.moves, {(name.old_name, name.new_name) for name in event.namings}) for event in events] == [
        ((), {("", "")}),
        ((), set()),
    ]
    assert records.read_directory().next_person_id == 4


def test_what_is_left_of_the_others_is_counted_right(records: SqlRecords) -> None:
    records.erase_person(1, ANN, 70, spaces=SPACES)
    summaries = SqlSummaries(records._engine)
    assert summaries.totals() == Totals(num_observations=1, num_tracklets=1, num_persons=1)
    assert [person.person_id for person in summaries.list_persons(after_person_id=0, limit=1)] == [3]
    assert summaries.list_edges()[0].num_observations == 1
    assert records.read_directory().spools[SPOOL].acked_seq == 4


def test_what_edges_may_still_show_of_an_erased_person_is_remembered_until_they_cannot(records: SqlRecords) -> None:
    records.erase_person(1, ANN, 70, spaces=SPACES)
    records.delete_tracklets(spaces=SPACES, before_us=90, limit=9)  # an edge's crops of what aged out age out as well
    query = text("SELECT spool_key, seq, erased_us FROM crop_erasures ORDER BY seq")
    with records._engine.connect() as connection:
        assert connection.execute(query).all() == [(1, 1, 70), (1, 2, 70), (1, 3, 70)]
    for before_us, num_left in ((70, 3), (71, 0)):
        records.delete_crop_erasures(before_us=before_us)
        with records._engine.connect() as connection:
            assert len(connection.execute(query).all()) == num_left


def test_no_edge_has_crops_of_what_is_long_past(records: SqlRecords) -> None:
    """The three tracklets were last added to at 1, 2 and 3."""
    records.erase_person(1, ANN, RING_US + 2, spaces=SPACES)
    with records._engine.connect() as connection:
        assert connection.scalars(text("SELECT seq FROM crop_erasures ORDER BY seq")).all() == [2, 3]


def test_the_audit_log_keeps_who_erased_whom(records: SqlRecords) -> None:
    records.erase_person(1, ANN, 70, spaces=SPACES)
    (entry,) = records.iter_audit()
    assert (entry.actor, entry.what, entry.subject, entry.outcome) == (ANN, "erase", "person 1", "done")


@pytest.mark.parametrize(
    ("person_id", "message"), [(9, "no person 9"), (2, "goes on as person 1"), (3, "person 3 was erased before")]
)
def test_only_a_living_person_can_be_erased(records: SqlRecords, person_id: int, message: str) -> None:
    records.erase_person(3, ANN, 70, spaces=SPACES)
    with pytest.raises(NotFoundError, match=message):
        records.erase_person(person_id, ANN, 71, spaces=SPACES)


def test_an_erased_person_gets_nothing_new(records: SqlRecords) -> None:
    records.erase_person(1, ANN, 70, spaces=SPACES)
    with pytest.raises(StorageError, match=r"persons \[1\] cannot be changed"):
        records.commit_rearrangement(Rearrangement(kind="split", actor="ann", time_us=71, moves={4: 1}))


def test_an_erased_name_is_in_no_file(tmp_path: Path) -> None:
    records = SqlRecords(open_database(StorageSettings(), data=tmp_path))
    fill(records, {1: 1})
    name = "Penelope Quartermain"
    records.commit_rearrangement(Rearrangement(kind="name", actor="ann", time_us=5, names={1: name}))
    records.erase_person(1, ANN, 70, spaces=SPACES)
    assert not [path for path in tmp_path.iterdir() if name.encode() in path.read_bytes()]
    records.close()


def test_old_tracklets_are_deleted_oldest_first_and_no_more_than_asked(records: SqlRecords) -> None:
    steps = [records.delete_tracklets(spaces=SPACES, before_us=4, limit=2) for _ in range(3)]
    assert [[tracklet.tracklet_key for tracklet in step.tracklets] for step in steps] == [[1, 2], [3], []]
    assert owners(records) == {4: 3}
    assert records.find_tracklets([TrackletName(1, 101, SPACE)], SPACES) == []


def test_a_person_of_whom_nothing_is_left_has_no_name_any_more(records: SqlRecords) -> None:
    records.delete_tracklets(spaces=SPACES, before_us=4, limit=9)
    with records._engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM persons WHERE name = 'courier'")).scalar() == 0


def test_old_views_are_deleted_and_their_tracklets_stay(records: SqlRecords) -> None:
    assert [records.delete_views(before_us=4, limit=2) for _ in range(3)] == [2, 1, 0]
    assert owners(records) == {1: 1, 2: 1, 3: 1, 4: 3}
    views = SqlSummaries(records._engine).read_views([1, 3], spaces=SPACES, most_per_person=9)
    assert views.person_ids.tolist() == [3]


def test_a_tracklet_that_grows_again_has_views_again(records: SqlRecords) -> None:
    records.delete_views(before_us=4, limit=9)
    late = StoredObservation(1, 5, 1, 8, 0.0, 0.0, 1.0, 1.0, 0.5, b"\x00\x3c" * 8)
    grown = stored_tracklet(1, person_id=1, updated_us=90)
    records.commit(Changes(time_us=90, observations=[late], changed_tracklets=[grown]))
    views = SqlSummaries(records._engine).read_views([1], spaces=SPACES, most_per_person=9)
    assert views.embeddings.shape == (1, 8)
    assert records.delete_views(before_us=91, limit=9) == 2
