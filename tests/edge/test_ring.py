from __future__ import annotations

import sqlite3
import stat
import threading

import cv2
import numpy as np
import pytest
from makers import make_observation
from structlog.testing import capture_logs

from edge.errors import RingError
from edge.ring import CropRing, KeptCrop, Missing, NumberedCrop, RingSettings
from reid.types import Box

DAY_S = 86_400.0


class Machine:
    """A clock, a disk and a secret, which a test may change, and rings on them."""

    def __init__(self, folder):
        self.path = folder / "edge.spool.crops"
        self.now_s, self.free_bytes, self.secret = 1_800_000_000.0, 1 << 40, b"s" * 32
        self.rings = []

    def ring(self, *, spool_id="spool-1", reserve_bytes=0, **changes):
        ring = CropRing(
            self.path,
            spool_id=spool_id,
            secret=lambda: self.secret,
            settings=RingSettings.model_validate(changes),
            reserve_bytes=reserve_bytes,
            clock=lambda: self.now_s,
            free_bytes=lambda folder: self.free_bytes,
        )
        self.rings.append(ring)
        return ring


@pytest.fixture
def machine(tmp_path):
    machine = Machine(tmp_path)
    yield machine
    for ring in machine.rings:
        ring.close()


def crop(number):
    """A picture of an even grey, the same for the same number."""
    return np.full((256, 128, 3), number % 256, np.uint8)


def noise(rng):
    """A picture that no encoder makes small."""
    return rng.integers(0, 256, (256, 128, 3), dtype=np.uint8)


def keep(ring, *seqs):
    return ring.keep([NumberedCrop(seq, make_observation(seq), crop(seq)) for seq in seqs])


def test_a_crop_is_found_under_its_number_as_it_was_seen(machine):
    ring = machine.ring()
    assert keep(ring, 7) == 1
    found = ring.find(7)
    assert (found.seq, found.time_us, found.box) == (7, make_observation(7).time_us, Box(10, 20, 60, 140))
    picture = cv2.imdecode(np.frombuffer(found.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(picture.astype(int) - crop(7)).max() <= 2


def test_crops_outlive_the_agent_and_nobody_else_can_read_the_file(machine):
    first = machine.ring()
    keep(first, 1, 2)
    jpeg = first.find(1).jpeg
    first.close()
    assert stat.S_IMODE(machine.path.stat().st_mode) == 0o600
    assert jpeg[:200] not in machine.path.read_bytes()
    second = machine.ring()
    assert second.find(1).jpeg == jpeg


def test_what_was_never_kept_is_unknown(machine):
    ring = machine.ring()
    assert ring.find(5) is Missing.UNKNOWN
    keep(ring, 5)
    for seq in (0, -1, 4, 6, 1 << 63, 1 << 64):
        assert ring.find(seq) is Missing.UNKNOWN


def test_the_oldest_make_room_and_are_known_to_have_been_there(machine, rng):
    ring = machine.ring(limit_mib=1)
    for seq in range(1, 101):
        ring.keep([NumberedCrop(seq, make_observation(seq), noise(rng))])
    status = ring.status
    assert machine.path.stat().st_size <= 1 << 20
    assert status.num_bytes <= 1 << 20
    assert (status.num_kept, status.num_crops, status.num_lost) == (100, 100 - status.num_expired, 0)
    assert status.num_crops > 15
    assert ring.find(1) is ring.find(status.num_expired) is Missing.EXPIRED
    assert isinstance(ring.find(status.num_expired + 1), KeptCrop)
    assert ring.find(101) is Missing.UNKNOWN


def test_forgotten_crops_are_gone_and_the_others_stay(machine):
    ring = machine.ring()
    keep(ring, *range(1, 1201))
    ring.forget([*range(1, 1101), 5000, 0, -1, 1 << 64])
    assert (ring.find(1), ring.find(1100)) == (Missing.UNKNOWN, Missing.UNKNOWN)
    assert isinstance(ring.find(1101), KeptCrop)
    assert ring.status.num_crops == 100
    ring.close()
    assert machine.ring().find(1) is Missing.UNKNOWN


def test_of_a_forgotten_crop_no_byte_stays_on_the_disk(machine, rng):
    ring = machine.ring()
    ring.keep([NumberedCrop(seq, make_observation(seq), noise(rng)) for seq in (1, 2)])
    with ring._file("read") as file:
        sealed = {seq: file.row(seq).sealed[-300:] for seq in (1, 2)}
        file.flush()
    ring.forget([1])
    on_disk = b"".join(path.read_bytes() for path in machine.path.parent.iterdir())
    assert sealed[1] not in on_disk
    assert sealed[2] in on_disk


def test_a_ring_that_cannot_forget_says_so(machine):
    ring = machine.ring()
    keep(ring, 1)
    ring.close()
    with pytest.raises(RingError, match="closed"):
        ring.forget([1])


@pytest.mark.parametrize("moved_days", [8, -8], ids=["later", "clock set back"])
def test_an_aged_crop_is_not_given_out_and_goes(machine, moved_days):
    ring = machine.ring(keep_days=7)
    keep(ring, 1)
    machine.now_s += moved_days * DAY_S
    keep(ring, 2)
    assert ring.find(1) is Missing.EXPIRED
    ring.tidy()
    assert (ring.status.num_crops, ring.status.num_expired) == (1, 1)
    assert ring.find(1) is Missing.EXPIRED
    assert isinstance(ring.find(2), KeptCrop)


def test_tidying_is_not_done_at_every_turn(machine):
    ring = machine.ring(keep_days=1 / DAY_S)
    ring.tidy()
    keep(ring, 1)
    for later_s, num_left in ((2, 1), (20, 0)):
        machine.now_s += later_s
        ring.tidy()
        assert ring.status.num_crops == num_left


def change_key(machine):
    machine.secret = b"t" * 32


def change_spool(_machine):
    return {"spool_id": "spool-2"}


def scribble(machine):
    machine.path.write_bytes(b"no database at all" * 1000)


def cut(machine):
    machine.path.write_bytes(machine.path.read_bytes()[:4000])


def overwrite_pages(machine):
    content = bytearray(machine.path.read_bytes())
    content[100:] = bytes(len(content) - 100)
    machine.path.write_bytes(content)


def change_format(machine):
    connection = sqlite3.connect(machine.path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


def lose_salt(machine):
    connection = sqlite3.connect(machine.path)
    connection.execute("DELETE FROM meta WHERE name = 'salt'")
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (change_key, "another key"),
        (change_spool, "another spool"),
        (scribble, "damaged"),
        (cut, "damaged"),
        (overwrite_pages, "damaged"),
        (change_format, "another format"),
        (lose_salt, "damaged"),
    ],
)
def test_a_file_that_cannot_be_gone_on_with_starts_anew_and_the_log_says_why(machine, change, reason):
    former = machine.ring()
    keep(former, 1, 2)
    former.close()
    changes = change(machine) or {}
    ring = machine.ring(**changes)
    with capture_logs() as logs:
        assert keep(ring, 3) == 1
    assert [reason in entry["reason"] for entry in logs if entry["event"] == "kept crops start anew"] == [True]
    assert ring.find(1) is Missing.UNKNOWN
    assert isinstance(ring.find(3), KeptCrop)


def test_a_file_damaged_while_it_is_used_costs_its_crops_only(machine):
    ring = machine.ring()
    keep(ring, *range(1, 200))
    ring.close()
    content = bytearray(machine.path.read_bytes())
    content[5 * 4096 :] = b"\xff" * (len(content) - 5 * 4096)
    machine.path.write_bytes(content)
    ring = machine.ring()
    assert not any(isinstance(ring.find(seq), KeptCrop) for seq in range(190, 200))
    for _ in range(3):
        keep(ring, 200)
    assert isinstance(ring.find(200), KeptCrop)
    assert ring.faults.counts


def test_an_altered_row_is_not_given_out(machine):
    ring = machine.ring()
    keep(ring, 1, 2)
    ring.close()
    connection = sqlite3.connect(machine.path)
    connection.execute("UPDATE crops SET time_us = 'never' WHERE seq = 1")
    connection.execute("UPDATE crops SET sealed = (SELECT sealed FROM crops WHERE seq = 1) WHERE seq = 2")
    connection.commit()
    connection.close()
    ring = machine.ring()
    assert ring.find(1) is ring.find(2) is Missing.EXPIRED
    assert ring.faults.counts == {"read": 2}


def test_somebody_elses_database_is_left_alone(machine):
    connection = sqlite3.connect(machine.path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    ring = machine.ring()
    assert keep(ring, 1) == 0
    assert (ring.status.num_lost, ring.faults.counts) == (1, {"disk": 1})
    assert machine.path.stat().st_size > 0


def test_a_folder_that_cannot_be_written_costs_crops_until_it_can(machine, tmp_path):
    machine.path = tmp_path / "file" / "ring"
    (tmp_path / "file").write_text("in the way")
    ring = machine.ring()
    assert keep(ring, 1) == 0
    assert ring.find(1) is Missing.EXPIRED
    (tmp_path / "file").unlink()
    assert keep(ring, 2) == 1


def test_the_ring_does_not_grow_into_what_the_spool_may_need(machine, rng):
    ring = machine.ring(reserve_bytes=1 << 30)
    keep(ring, 1)
    machine.free_bytes = 1 << 29
    size_bytes = machine.path.stat().st_size
    kept = [ring.keep([NumberedCrop(seq, make_observation(seq), noise(rng))]) for seq in range(2, 20)]
    assert machine.path.stat().st_size <= size_bytes
    assert ring.status.num_lost + sum(kept) == 18
    assert ring.faults.counts["disk"] > 0


def test_where_the_disk_is_full_the_ring_gives_its_file_up(machine, rng):
    ring = machine.ring()
    for seq in range(1, 101):
        ring.keep([NumberedCrop(seq, make_observation(seq), noise(rng))])
    ring.close()
    assert machine.path.stat().st_size > 1 << 20
    machine.free_bytes = 1 << 20
    ring = machine.ring(reserve_bytes=1 << 30)
    ring.tidy()
    assert machine.path.stat().st_size < 1 << 17
    assert (ring.find(50), ring.status.num_crops) == (Missing.UNKNOWN, 0)


def test_a_write_that_finds_the_disk_full_gives_the_file_up_as_well(machine):
    ring = machine.ring()
    keep(ring, *range(1, 50))
    ring._opened._connection.execute("PRAGMA max_page_count = 1")
    assert keep(ring, *range(50, 150)) == 0
    assert not machine.path.exists()
    assert keep(ring, 150) == 1
    assert ring.status.num_lost == 149


@pytest.mark.parametrize("shape", [(0, 0, 3), (128, 256, 3), (256, 128)])
def test_a_crop_of_another_shape_costs_itself_only(machine, shape):
    ring = machine.ring()
    broken = NumberedCrop(1, make_observation(1), np.zeros(shape, np.uint8))
    assert ring.keep([broken, NumberedCrop(2, make_observation(2), crop(2))]) == 1
    assert (ring.faults.counts, ring.status.num_lost) == ({"encode": 1}, 1)


def test_the_days_traffic_outlives_the_agent(machine):
    ring = machine.ring()
    assert ring.read_traffic() == (0, 0)
    ring.write_traffic(20_000, 4711)
    ring.close()
    assert machine.ring().read_traffic() == (20_000, 4711)


def test_a_closed_ring_keeps_nothing_and_raises_nothing(machine):
    ring = machine.ring()
    keep(ring, 1)
    ring.close()
    assert keep(ring, 2) == 0
    assert ring.find(1) is Missing.EXPIRED
    ring.write_traffic(1, 1)
    assert ring.read_traffic() == (0, 0)


def test_one_thread_may_keep_while_another_asks(machine):
    ring, missed = machine.ring(), []
    keep(ring, 1)
    thread = threading.Thread(target=lambda: missed.extend(1 for _ in range(300) if ring.find(1).seq != 1))
    thread.start()
    for seq in range(2, 50):
        keep(ring, seq)
    thread.join(30)
    assert (missed, ring.faults.counts, ring.status.num_crops) == ([], {}, 49)
