from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from makers import make_observation

from edge.crops import CropStore
from edge.outbox import Outbox, Outgoing
from edge.ring import CropRing, KeptCrop, Missing, RingSettings
from edge.spool import Spool
from edge.spool_writer import SpoolWriter


class Desk:
    """A writer with everything around it."""

    def __init__(self, folder):
        self.outbox, self.notes = Outbox(), []
        self.spool = Spool(folder / "edge.spool", limit_bytes=1 << 30)
        self.crops = CropStore(folder / "crops", limit_bytes=1 << 20)
        self.ring = CropRing(
            folder / "ring", spool_id=self.spool.spool_id, secret=lambda: b"s" * 32, settings=RingSettings()
        )
        self.writer = SpoolWriter(
            self.outbox, self.spool, crops=self.crops, notify=lambda: self.notes.append(1), ring=self.ring
        )

    def put(self, *observations, space="s1", crop=None):
        for observation in observations:
            self.outbox.put(Outgoing(observation, space, 0.0, crop), may_wait=False)


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path)
    yield desk
    desk.ring.close()
    desk.spool.close()


def test_what_waits_is_spooled_in_one_go_and_announced(desk):
    desk.put(make_observation(1), make_observation(2))
    assert desk.writer.step(timeout_s=0.0)
    assert not desk.writer.step(timeout_s=0.0)
    assert (desk.spool.depth, desk.writer.num_spooled, len(desk.notes)) == (2, 2, 1)


def test_the_way_from_the_camera_to_the_disk_is_timed(desk):
    desk.outbox.put(Outgoing(make_observation(1), "s1", time.monotonic() - 50.0), may_wait=False)
    desk.writer.step(timeout_s=0.0)
    times = desk.writer.times.durations()
    assert 50 <= times["capture_to_spool"].total_s < 100
    assert times["spool"].count == 1


def test_each_observation_is_spooled_under_its_own_space_and_order_is_kept(desk):
    for number, space in enumerate(["s1", "s1", "s2", "s1"], start=1):
        desk.put(make_observation(number), space=space)
    desk.writer.step(timeout_s=0.0)
    batches, after = [], 0
    while (batch := desk.spool.read_batch(after, 10)) is not None:
        batches.append((batch.space, [spooled.observation.tracklet_id for spooled in batch.observations]))
        after = batch.observations[-1].seq
    assert batches == [("s1", [1, 2]), ("s2", [3]), ("s1", [4])]


def test_crops_are_kept_beside(desk, tmp_path):
    desk.put(make_observation(9), crop=np.zeros((256, 128, 3), np.uint8))
    desk.writer.step(timeout_s=0.0)
    assert (tmp_path / "crops" / "cam1" / "9.jpg").is_file()


def test_malformed_observation_does_not_take_the_others_with_it(desk):
    broken = make_observation(2, embedding=np.full(8, np.nan, np.float32))
    desk.put(make_observation(1), broken, make_observation(3))
    desk.writer.step(timeout_s=0.0)
    assert (desk.spool.depth, desk.writer.num_lost, desk.writer.faults.counts) == (2, 1, {"observation": 1})


def test_full_disk_is_counted_and_the_writer_goes_on(desk):
    desk.spool._connection.execute("PRAGMA max_page_count = 1")
    desk.put(*(make_observation(i) for i in range(200)))
    desk.writer.step(timeout_s=0.0)
    desk.spool._connection.execute("PRAGMA max_page_count = 100000")
    desk.put(make_observation(1))
    desk.writer.step(timeout_s=0.0)
    assert (desk.writer.num_lost, desk.writer.num_spooled, desk.spool.depth) == (200, 1, 1)


def test_crop_that_cannot_be_written_costs_only_the_crop(desk, tmp_path):
    (tmp_path / "crops" / "cam1").write_text("in the way")
    desk.put(make_observation(9), crop=np.zeros((256, 128, 3), np.uint8))
    desk.writer.step(timeout_s=0.0)
    assert (desk.spool.depth, desk.writer.faults.counts) == (1, {"crop": 1})


def test_unforeseen_fault_costs_one_write_and_the_writer_goes_on(desk):
    desk.put(make_observation(1, box=None), crop=np.zeros((256, 128, 3), np.uint8))
    desk.writer.step(timeout_s=0.0)
    desk.put(make_observation(2), crop=np.zeros((0, 0, 3), np.uint8))
    desk.writer.step(timeout_s=0.0)
    assert desk.writer.faults.counts == {"unexpected": 1, "crop": 1}
    assert (desk.writer.num_lost, desk.spool.depth) == (1, 1)


def test_nobody_waits_for_room_once_the_writer_has_ended(desk):
    stop = threading.Event()
    stop.set()
    desk.writer.run(stop)
    for number in range(2000):
        desk.outbox.put(Outgoing(make_observation(number), "s1", 0.0), may_wait=True)
    assert desk.outbox.num_displaced > 0


def test_stopping_empties_the_outbox_first(desk):
    stop = threading.Event()
    stop.set()
    desk.put(*(make_observation(i) for i in range(600)))
    desk.writer.run(stop)
    assert desk.spool.depth == 600


CROP = np.zeros((256, 128, 3), np.uint8)


def test_the_ring_has_the_crops_under_the_numbers_of_their_observations(desk):
    desk.put(make_observation(1))
    desk.put(make_observation(2), make_observation(3), crop=CROP)
    desk.put(make_observation(4), space="s2", crop=CROP)
    desk.writer.step(timeout_s=0.0)
    spooled = [row for after in (0, 3) for row in desk.spool.read_batch(after, 9).observations]
    times_us = {row.seq: row.observation.time_us for row in spooled if row.seq > 1}
    assert desk.ring.find(1) is Missing.UNKNOWN
    assert {seq: desk.ring.find(seq).time_us for seq in (2, 3, 4)} == times_us
    assert desk.writer.times.durations()["ring"].count == 1


def test_numbers_stay_right_beside_a_malformed_observation(desk):
    broken = make_observation(2, embedding=np.full(8, np.nan, np.float32))
    desk.put(make_observation(1), broken, make_observation(3), crop=CROP)
    desk.writer.step(timeout_s=0.0)
    assert [desk.ring.find(seq).time_us for seq in (1, 2)] == [make_observation(number).time_us for number in (1, 3)]
    assert desk.ring.find(3) is Missing.UNKNOWN


def test_what_was_not_spooled_has_no_crop(desk):
    desk.spool._connection.execute("PRAGMA max_page_count = 1")
    desk.put(*(make_observation(i) for i in range(200)), crop=CROP)
    desk.writer.step(timeout_s=0.0)
    assert (desk.writer.num_lost, desk.ring.status.num_kept) == (200, 0)


def test_a_ring_that_fails_costs_no_observation(desk, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr(desk.ring, "keep", fail)
    monkeypatch.setattr(desk.ring, "tidy", fail)
    desk.put(make_observation(1), crop=CROP)
    desk.writer.step(timeout_s=0.0)
    assert (desk.spool.depth, desk.writer.num_lost, desk.writer.faults.counts) == (1, 0, {"ring": 2})


def test_while_observations_pile_up_crops_are_left_out(desk, monkeypatch):
    keep = desk.ring.keep

    def keep_slowly(crops):
        for number in range(300):
            desk.put(make_observation(number))
        return keep(crops)

    monkeypatch.setattr(desk.ring, "keep", keep_slowly)
    desk.put(*(make_observation(i) for i in range(100)), crop=CROP)
    desk.writer.step(timeout_s=0.0)
    assert (desk.ring.status.num_kept, desk.ring.status.num_lost, desk.writer.num_spooled) == (32, 68, 100)
    assert isinstance(desk.ring.find(32), KeptCrop)
