from __future__ import annotations

import threading

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
