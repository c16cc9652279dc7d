from __future__ import annotations

import pytest
from fakes_records import fill, owners
from sqlalchemy import Engine

from server.errors import NotFoundError, StorageError
from server.storage.records import LineageEvent, Link, Move, Naming, Rearrangement
from server.storage.sql import SqlRecords
from server.storage.summaries import SqlSummaries
from server.types import NO_PERSON

MERGE = Rearrangement(
    kind="merge",
    actor="ann",
    time_us=50,
    moves={1: 1, 3: 1, 4: 1},
    folded_persons={2: 1},
    links=[Link(1, 3, "must")],
    names={1: "courier"},
)


@pytest.fixture
def records(engine: Engine) -> SqlRecords:
    records = SqlRecords(engine)
    fill(records, {1: 1, 2: 1, 3: 2, 4: 2})
    return records


def test_a_rearrangement_becomes_an_event_with_what_was_there_before(records: SqlRecords) -> None:
    event_key = records.commit_rearrangement(MERGE)
    assert records.read_event(event_key) == LineageEvent(
        event_key=event_key,
        time_us=50,
        kind="merge",
        actor="ann",
        moves=(Move(3, 2, 1), Move(4, 2, 1)),
        folded={2: 1},
        namings=(Naming(1, "", "courier"),),
    )
    assert owners(records) == {1: 1, 2: 1, 3: 1, 4: 1}
    assert records.read_links() == [Link(1, 3, "must")]


def test_an_undone_event_says_so_and_its_links_no_longer_hold(records: SqlRecords) -> None:
    merge = records.commit_rearrangement(MERGE)
    undo = Rearrangement(
        kind="undo", actor="bob", time_us=60, moves={3: 2, 4: 2}, revived_persons=[2], withdrawn_events=[merge]
    )
    event_key = records.commit_rearrangement(undo)
    assert records.read_event(merge).undone_by == event_key
    assert records.read_event(event_key).revived == {2: 1}
    assert records.read_links() == []
    assert owners(records) == {1: 1, 2: 1, 3: 2, 4: 2}


def test_events_are_found_by_each_person_that_they_touched(records: SqlRecords) -> None:
    merge = records.commit_rearrangement(MERGE)
    split = Rearrangement(kind="split", actor="ann", time_us=60, moves={4: 3}, new_persons=[3])
    records.commit_rearrangement(split)
    found = {person_id: [event.kind for event in records.iter_events(person_id)] for person_id in (NO_PERSON, 1, 2, 3)}
    assert found == {NO_PERSON: ["merge", "split"], 1: ["merge", "split"], 2: ["merge"], 3: ["split"]}
    assert records.read_event(merge + 1).made == (3,)


def test_all_events_come_once_over_many_pages(records: SqlRecords, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.storage.lineage._PAGE", 2)
    for number in range(5):
        records.commit_rearrangement(Rearrangement(kind="name", actor="ann", time_us=number, names={1: str(number)}))
    assert [event.time_us for event in records.iter_events(1)] == [0, 1, 2, 3, 4]


def test_a_name_is_shown_and_can_be_taken_away(records: SqlRecords) -> None:
    summaries = SqlSummaries(records._engine)
    for name in ("courier", ""):
        records.commit_rearrangement(Rearrangement(kind="name", actor="ann", time_us=1, names={1: name}))
        assert summaries.get_persons([1])[1].name == name


@pytest.mark.parametrize(
    ("rearrangement", "message"),
    [
        (Rearrangement(kind="split", actor="a", time_us=1, moves={9: 1}), r"tracklets \[9\] cannot be moved"),
        (Rearrangement(kind="split", actor="a", time_us=1, moves={1: 9}), r"persons \[9\] cannot be changed"),
        (Rearrangement(kind="undo", actor="a", time_us=1, names={1: "x"}, withdrawn_events=[9]), "event 9 cannot be"),
        (Rearrangement(kind="split", actor="a", time_us=1, new_persons=[1]), "(?i)unique constraint"),
        (Rearrangement(kind="merge", actor="a", time_us=1, links=[Link(1, 9, "must")]), "(?i)foreign key"),
    ],
    ids=["unknown-tracklet", "unknown-person", "unknown-event", "used-person", "unknown-link"],
)
def test_what_contradicts_the_records_is_refused_whole(
    records: SqlRecords, rearrangement: Rearrangement, message: str
) -> None:
    with pytest.raises(StorageError, match=message):
        records.commit_rearrangement(rearrangement)
    assert list(records.iter_events(NO_PERSON)) == []


def test_an_event_cannot_be_undone_twice(records: SqlRecords) -> None:
    merge = records.commit_rearrangement(MERGE)
    undo = Rearrangement(kind="undo", actor="bob", time_us=60, withdrawn_events=[merge])
    records.commit_rearrangement(undo)
    with pytest.raises(StorageError, match="undone already"):
        records.commit_rearrangement(undo)


def test_an_unknown_event_is_named(records: SqlRecords) -> None:
    with pytest.raises(NotFoundError, match="no event 7"):
        records.read_event(7)
