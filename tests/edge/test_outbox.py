from __future__ import annotations

import threading

import numpy as np
from makers import make_observation

from edge.outbox import Outbox, Outgoing


def entry(number):
    return Outgoing(make_observation(number), "s1", 0.0)


def taken(outbox, limit=100):
    return [outgoing.observation.tracklet_id for outgoing in outbox.take(limit, timeout_s=0.0)]


def test_entries_leave_in_order_and_up_to_the_limit():
    outbox = Outbox()
    for number in (1, 2, 3):
        outbox.put(entry(number), may_wait=False)
    assert taken(outbox, limit=2) == [1, 2]
    assert taken(outbox) == [3]
    assert taken(outbox) == []


def test_full_outbox_displaces_the_oldest_of_a_live_camera():
    outbox = Outbox(capacity=2)
    for number in (1, 2, 3):
        outbox.put(entry(number), may_wait=False)
    assert (outbox.num_displaced, taken(outbox)) == (1, [2, 3])


def test_file_waits_for_room():
    outbox = Outbox(capacity=1)
    outbox.put(entry(1), may_wait=True)
    thread = threading.Thread(target=outbox.put, args=(entry(2),), kwargs={"may_wait": True})
    thread.start()
    assert taken(outbox, limit=1) == [1]
    thread.join(10)
    assert (taken(outbox), outbox.num_displaced) == ([2], 0)


def test_closing_lets_everybody_go():
    outbox = Outbox(capacity=1)
    outbox.put(entry(1), may_wait=True)
    thread = threading.Thread(target=outbox.put, args=(entry(2),), kwargs={"may_wait": True})
    thread.start()
    outbox.close()
    thread.join(10)
    assert not thread.is_alive()


def with_crop(number):
    return Outgoing(make_observation(number), "s1", 0.0, np.zeros((256, 128, 3), np.uint8))


def test_crops_of_a_live_camera_stay_behind_while_many_wait():
    outbox = Outbox(capacity=4, crop_capacity=2)
    for number in (1, 2, 3, 4):
        outbox.put(with_crop(number), may_wait=False)
    assert (outbox.num_displaced, outbox.num_crops_displaced, outbox.is_crowded) == (0, 2, True)
    assert [outgoing.crop is None for outgoing in outbox.take(4, timeout_s=0.0)] == [False, False, True, True]
    assert not outbox.is_crowded


def test_a_file_waits_for_room_for_its_crop():
    outbox = Outbox(capacity=4, crop_capacity=1)
    outbox.put(with_crop(1), may_wait=True)
    thread = threading.Thread(target=outbox.put, args=(with_crop(2),), kwargs={"may_wait": True})
    thread.start()
    assert taken(outbox, limit=1) == [1]
    thread.join(10)
    assert outbox.take(1, timeout_s=0.0)[0].crop is not None
    assert outbox.num_crops_displaced == 0
