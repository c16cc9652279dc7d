from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes_stream import SERVED, SPACES, look
from sqlalchemy import Connection, Engine, create_engine, event, text

from server.errors import StorageError
from server.spaces import Spaces
from server.storage.database import StorageSettings, open_database
from server.storage.records import Changes, StoredObservation
from server.storage.sql import SqlRecords
from server.types import Camera, CameraSpan, Spool, SpoolState, Tracklet, TrackletName

EDGE = Spool("edge1", "spool1")
OTHER = Spaces(replace(SERVED, space="other"))


def tracklet(key: int, *, person_id: int = 1) -> Tracklet:
    return Tracklet(
        tracklet_key=key,
        camera_key=1,
        tracklet_id=100 + key,
        space=SERVED.space,
        start_us=1,
        end_us=2,
        num_observations=1,
        weight=0.3,
        embedding_sum=look(key) / 3,
        person_id=person_id,
        updated_us=7,
    )


def name(key: int) -> TrackletName:
    return TrackletName(1, 100 + key, SERVED.space)


def row(seq: int, *, tracklet_key: int = 1) -> StoredObservation:
    return StoredObservation(1, seq, tracklet_key, 5, 1.0, 2.0, 3.0, 4.0, 0.5, bytes(16))


def first_changes() -> Changes:
    return Changes(
        time_us=9,
        new_cameras={1: Camera("edge1", "cam1")},
        new_spools={EDGE: SpoolState(spool_key=1, acked_seq=2, num_observations=2, last_seen_us=9)},
        observations=[row(1), row(2)],
        new_tracklets=[tracklet(1)],
        new_persons=[1],
    )


@pytest.fixture
def records(engine: Engine) -> SqlRecords:
    records = SqlRecords(engine)
    records.commit(first_changes())
    return records


def test_what_was_committed_is_read_back(records: SqlRecords) -> None:
    directory = records.read_directory()
    assert directory.cameras == {1: Camera("edge1", "cam1")}
    assert directory.spools == first_changes().new_spools
    assert (directory.next_tracklet_key, directory.next_person_id) == (2, 2)
    (found,) = records.iter_tracklets(SPACES)
    assert (found.name, found.weight) == (name(1), 0.3)
    assert (found.updated_us, found.is_closed) == (7, False)
    assert np.array_equal(found.embedding_sum, tracklet(1).embedding_sum)


def test_changed_rows_replace_the_old_ones(records: SqlRecords) -> None:
    changed = tracklet(1)
    changed.weight, changed.is_closed = 4.0, True
    state = replace(first_changes().new_spools[EDGE], acked_seq=9)
    records.commit(Changes(time_us=9, changed_spools={EDGE: state}, changed_tracklets=[changed]))
    (found,) = records.iter_tracklets(SPACES)
    assert (found.weight, found.is_closed) == (4.0, True)
    assert records.read_directory().spools[EDGE].acked_seq == 9


def test_a_repeated_observation_fails_the_whole_commit(records: SqlRecords) -> None:
    changes = Changes(time_us=9, observations=[row(2)], new_persons=[2])
    with pytest.raises(StorageError, match=r"(?i)commit failed: .*unique constraint"):
        records.commit(changes)
    assert records.read_directory().next_person_id == 2


def test_tracklets_of_another_space_are_not_found(records: SqlRecords) -> None:
    assert list(records.iter_tracklets(OTHER)) == []
    assert records.find_tracklets([name(1)], OTHER) == []


def test_tracklets_are_found_by_name(records: SqlRecords) -> None:
    names = [name(1), name(899), name(1)._replace(camera_key=2)]
    assert [found.tracklet_key for found in records.find_tracklets(names, SPACES)] == [1]
    assert records.find_tracklets([], SPACES) == []


def test_tracklets_are_found_by_a_moment_that_they_share(records: SqlRecords) -> None:
    later = replace(tracklet(2), start_us=10, end_us=20)
    records.commit(Changes(time_us=9, new_tracklets=[later]))
    cases = {(1, 2, 10): [1, 2], (1, 0, 1): [1], (1, 3, 9): [], (1, 20, 99): [2], (2, 0, 99): []}
    for span, keys in cases.items():
        found = records.find_overlapping([CameraSpan(*span)] * 2, SPACES)
        assert [item.tracklet_key for item in found] == keys
    assert records.find_overlapping([CameraSpan(1, 0, 99)], OTHER) == []


def test_finding_tracklets_reads_only_those(tmp_path: Path) -> None:
    records = SqlRecords(open_database(StorageSettings(), data=tmp_path))
    plans: list[str] = []

    def explain(connection: Connection, _: object, statement: str, values: tuple[Any, ...], *__: object) -> None:
        if statement.startswith("SELECT"):
            plan = connection.connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", values)
            plans.extend(row[3] for row in plan)

    event.listen(records._engine, "before_cursor_execute", explain)
    records.find_tracklets([name(1), TrackletName(2, 5, SERVED.space)], SPACES)
    records.find_overlapping([CameraSpan(1, 0, 9)], SPACES)
    reading = [plan for plan in plans if "tracklets" in plan]
    assert len(reading) == 2
    assert all(plan.startswith("SEARCH tracklets USING INDEX") for plan in reading)
    records.close()


def test_all_tracklets_come_once_over_many_pages(records: SqlRecords, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.storage.sql._PAGE", 3)
    records.commit(Changes(time_us=9, new_tracklets=[tracklet(key) for key in range(2, 12)]))
    assert [found.tracklet_key for found in records.iter_tracklets(SPACES)] == list(range(1, 12))
    names = [name(key) for key in range(1, 12)]
    assert len(records.find_tracklets(names, SPACES)) == 11


def test_a_locked_database_is_an_error_and_then_works_again(tmp_path: Path) -> None:
    engine = open_database(StorageSettings(busy_timeout_s=0), data=tmp_path)
    records = SqlRecords(engine)
    other = create_engine(f"sqlite:///{tmp_path}/records.db")
    with other.connect() as blocker:
        blocker.execute(text("BEGIN IMMEDIATE"))
        with pytest.raises(StorageError, match="database is locked"):
            records.commit(first_changes())
    records.commit(first_changes())
    records.close()
    other.dispose()


def test_a_full_disk_is_an_error_and_the_commit_works_once_there_is_room(tmp_path: Path) -> None:
    engine = open_database(StorageSettings(), data=tmp_path)
    records = SqlRecords(engine)
    records.commit(first_changes())
    bulky = [row(seq)._replace(embedding=bytes(1024)) for seq in range(3, 500)]
    with engine.connect() as connection:  # the pool's only connection, so that the commit gets it too
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 4}")
    with pytest.raises(StorageError, match="commit failed: database or disk is full"):
        records.commit(Changes(time_us=9, observations=bulky))
    assert stored(engine) == [1, 2]
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=100000")
    records.commit(Changes(time_us=9, observations=bulky))
    assert stored(engine) == list(range(1, 500))
    records.close()


COMMITTER = """
import sys
from pathlib import Path
from test_sql import commit_for_ever
commit_for_ever(Path(sys.argv[1]))
"""


def commit_for_ever(data: Path) -> None:
    """Commit one observation after another, and say so after each; ended from outside."""
    records = SqlRecords(open_database(StorageSettings(), data=data))
    records.commit(first_changes())
    for seq in range(3, 1_000_000):
        state = SpoolState(spool_key=1, acked_seq=seq, num_observations=seq)
        records.commit(Changes(time_us=9, changed_spools={EDGE: state}, observations=[row(seq)]))
        sys.stdout.write(f"{seq}\n")
        sys.stdout.flush()


def stored(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT seq FROM observations ORDER BY seq")).scalars())


def test_what_was_committed_before_kill_9_is_there_afterwards(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", COMMITTER, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert process.stdout is not None
    said = [int(line) for line, _ in zip(process.stdout, range(25), strict=False) if line.strip().isdigit()]
    process.send_signal(signal.SIGKILL)
    said += [int(line) for line in process.stdout.read().split("\n")[:-1] if line.isdigit()]
    process.wait()
    engine = open_database(StorageSettings(), data=tmp_path)
    seqs = stored(engine)
    assert seqs == list(range(1, len(seqs) + 1))
    assert len(said) >= 20
    assert max(said) <= len(seqs) == SqlRecords(engine).read_directory().spools[EDGE].acked_seq
    engine.dispose()
