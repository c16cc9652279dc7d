from __future__ import annotations

import math
import os
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from makers import make_observation, unit_vector

from edge.errors import SpoolError
from edge.spool import Spool
from reid.errors import ObservationError
from reid.types import Box

ROOMY = 1 << 30


@pytest.fixture
def spool(tmp_path):
    spool = Spool(tmp_path / "edge.spool", limit_bytes=ROOMY)
    yield spool
    spool.close()


def fill(spool, number, *, space="s1", first=1):
    return spool.append([make_observation(first + i) for i in range(number)], space=space)


def tracklets(spool, after=0, limit=10_000):
    batch = spool.read_batch(after, limit)
    return [] if batch is None else [spooled.observation.tracklet_id for spooled in batch.observations]


def test_what_goes_in_comes_out_in_order(spool):
    sent = make_observation(7, is_last=True, quality=0.25)
    assert fill(spool, 3) == 3
    assert spool.append([sent], space="s1") == 4
    batch = spool.read_batch(3, 10)
    (seq, came) = batch.observations[0]
    assert (batch.space, batch.dim, seq) == ("s1", 8, 4)
    assert (came.box, came.quality, came.is_last, came.time_us) == (sent.box, 0.25, True, sent.time_us)
    np.testing.assert_allclose(came.embedding, sent.embedding, atol=1e-3)


def test_empty_spool_has_nothing_to_read(spool):
    assert spool.read_batch(0, 32) is None
    assert spool.append([], space="s1") == 0
    assert (spool.depth, spool.dropped, spool.acked_seq) == (0, 0, 0)


def test_batch_ends_where_the_space_changes(spool):
    fill(spool, 2, space="old")
    fill(spool, 2, space="new", first=3)
    assert tracklets(spool) == [1, 2]
    assert spool.read_batch(2, 10).space == "new"


def test_acknowledged_observations_leave(spool):
    fill(spool, 5)
    assert spool.acknowledge(3) == 3
    assert spool.acknowledge(2) == 0
    assert (spool.depth, spool.acked_seq, tracklets(spool)) == (2, 3, [4, 5])


def test_sequence_numbers_are_never_used_again(tmp_path, spool):
    fill(spool, 5)
    spool.acknowledge(5)
    spool.close()
    again = Spool(tmp_path / "edge.spool", limit_bytes=ROOMY)
    assert fill(again, 1) == 6


def test_spool_keeps_everything_over_a_restart(tmp_path, spool):
    fill(spool, 5)
    spool.acknowledge(2)
    spool.close()
    again = Spool(tmp_path / "edge.spool", limit_bytes=ROOMY)
    assert (again.spool_id, again.depth, again.acked_seq) == (spool.spool_id, 3, 2)
    assert tracklets(again) == [3, 4, 5]


def test_acknowledgement_beyond_the_end_lifts_the_counter(spool):
    fill(spool, 2)
    assert spool.acknowledge(100) == 2
    assert fill(spool, 1) == 101


def test_cameras_that_wait_are_named(spool):
    spool.append([make_observation(camid=camid) for camid in ("b", "a", "b")], space="s1")
    assert spool.camids() == ["a", "b"]


def test_start_moments_rise_even_if_the_clock_is_set_back(tmp_path, spool):
    assert spool.claim_start_ms(1000) == 1000
    spool.close()
    again = Spool(tmp_path / "edge.spool", limit_bytes=ROOMY)
    assert again.claim_start_ms(3) == 1001


def test_full_spool_drops_the_oldest_and_says_how_many_after_a_restart(tmp_path):
    path, limit = tmp_path / "edge.spool", 1 << 20
    spool = Spool(path, limit_bytes=limit)
    wide = [make_observation(i, embedding=unit_vector(1.0, dim=512)) for i in range(1, 1501)]
    for begin in range(0, 1500, 50):
        spool.append(wide[begin : begin + 50], space="s1")
    kept, dropped = tracklets(spool), spool.dropped
    assert dropped > 0
    assert kept == list(range(dropped + 1, 1501))
    assert len(kept) > 600  # most of the bound holds observations
    assert path.stat().st_size <= limit
    spool.close()
    assert Spool(path, limit_bytes=limit).dropped == dropped


def test_other_process_cannot_use_the_same_spool(tmp_path, spool):
    with pytest.raises(SpoolError, match="in use by another process"):
        Spool(tmp_path / "edge.spool", limit_bytes=ROOMY)


@pytest.mark.parametrize("changes", [{"quality": 1.5}, {"quality": math.nan}, {"box": Box(5, 5, 5, 9)}], ids=str)
def test_what_every_server_refuses_never_gets_in(spool, changes):
    with pytest.raises(ObservationError, match="cam1 tracklet 1"):
        spool.append([make_observation(1, **changes)], space="s1")
    assert spool.depth == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf, 3.0], ids=["nan", "inf", "not unit norm"])
def test_broken_embedding_never_gets_in(spool, bad):
    broken = np.full(8, bad, dtype=np.float32)
    with pytest.raises(ObservationError, match="cam1 tracklet 2"):
        spool.append([make_observation(1), make_observation(2, embedding=broken)], space="s1")
    assert spool.depth == 0


def test_full_disk_is_one_error_and_nothing_half_written(tmp_path, spool):
    fill(spool, 3)
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, former[1]))  # write(2) itself fails, as on a full disk
    try:
        with pytest.raises(SpoolError, match="cannot append to spool"):
            fill(spool, 5000, first=100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
        signal.signal(signal.SIGXFSZ, ignored)
    assert (spool.depth, tracklets(spool)) == (3, [1, 2, 3])
    assert fill(spool, 1, first=4) == 4  # space is free again


def test_page_limit_reached_inside_sqlite_is_the_same_error(spool):
    spool._connection.execute("PRAGMA max_page_count = 20")
    with pytest.raises(SpoolError, match="full"):
        fill(spool, 5000)
    assert fill(spool, 1) == 1


@pytest.mark.parametrize("damage", [b"this is not a database", b"SQLite format 3\0" + b"\xff" * 5000])
def test_damaged_file_is_moved_aside(tmp_path, damage):
    path = tmp_path / "edge.spool"
    path.write_bytes(damage)
    spool = Spool(path, limit_bytes=ROOMY)
    assert fill(spool, 1) == 1
    assert (tmp_path / "edge.spool.damaged-1").read_bytes() == damage


def test_damaged_pages_are_found_at_open(tmp_path, spool):
    path = tmp_path / "edge.spool"
    fill(spool, 500)
    spool.close()
    content = bytearray(path.read_bytes())
    content[8192:40960] = os.urandom(32768)
    path.write_bytes(content)
    again = Spool(path, limit_bytes=ROOMY)
    assert again.spool_id != spool.spool_id
    assert again.depth == 0


def test_database_of_somebody_else_is_left_alone(tmp_path):
    path = tmp_path / "other.sqlite"
    make = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('CREATE TABLE t (x)'); c.commit()"
    subprocess.run([sys.executable, "-c", make, str(path)], check=True)
    with pytest.raises(SpoolError, match="no spool of an edge agent"):
        Spool(path, limit_bytes=ROOMY)


def test_spool_in_an_impossible_place_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match="cannot make folder"):
        Spool(tmp_path / "file" / "edge.spool", limit_bytes=ROOMY)
    with pytest.raises(SpoolError, match="cannot open spool"):
        Spool(tmp_path, limit_bytes=ROOMY)


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from makers import make_observation
from edge.spool import Spool
spool = Spool(Path(sys.argv[1]), limit_bytes=1 << 30)
while True:
    print(spool.append([make_observation(1)] * 3, space="s1"), flush=True)
"""


def test_spool_keeps_order_after_power_loss(tmp_path):
    path = tmp_path / "edge.spool"
    arguments = [sys.executable, "-c", WRITER, str(path), str(Path(__file__).parent)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as writer:
        last = [int(writer.stdout.readline()) for _ in range(40)][-1]
        writer.kill()
        last = max([last, *(int(line) for line in writer.stdout.read().splitlines())])
    batch = Spool(path, limit_bytes=ROOMY).read_batch(0, 100_000)
    seqs = [spooled.seq for spooled in batch.observations]
    assert seqs == list(range(1, len(seqs) + 1))
    assert len(seqs) >= last
    assert len(seqs) % 3 == 0  # transactions are whole


def test_row_that_the_disk_has_damaged_is_dropped_and_stands_in_nobodys_way(spool):
    fill(spool, 5)
    spool._connection.execute("UPDATE observations SET embedding = x'00' WHERE seq IN (1, 4)")
    batch = spool.read_batch(0, 10)
    assert [spooled.seq for spooled in batch.observations] == [2, 3, 5]
    assert (spool.depth, spool.dropped) == (3, 2)


operation = st.one_of(
    st.tuples(st.just("append"), st.integers(0, 5)),
    st.tuples(st.just("acknowledge"), st.integers(0, 40)),
    st.tuples(st.just("reopen"), st.just(0)),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(operation, max_size=15))
def test_spool_behaves_like_a_list(operations):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "edge.spool"
        spool, waiting, last = Spool(path, limit_bytes=ROOMY), [], 0
        for deed, number in operations:
            if deed == "append":
                fill(spool, number)
                waiting += range(last + 1, last + number + 1)
                last += number
            elif deed == "acknowledge":
                seq = min(number, last)
                spool.acknowledge(seq)
                waiting = [s for s in waiting if s > seq]
            else:
                spool.close()
                spool = Spool(path, limit_bytes=ROOMY)
            batch = spool.read_batch(0, 1000)
            assert [s.seq for s in (batch.observations if batch else [])] == waiting
            assert spool.depth == len(waiting)
        spool.close()
