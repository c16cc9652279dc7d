from __future__ import annotations

import threading

from edge.worker_thread import WorkerThread


def test_work_goes_on_until_its_event_is_set():
    thread = WorkerThread("w", lambda stop: stop.wait(20) and None, threading.Event())
    assert thread.is_alive
    thread.stop.set()
    thread.join(20)
    assert (thread.is_alive, thread.failure) == (False, None)


def test_what_escapes_from_the_work_is_kept():
    def fail(stop):
        raise SystemExit(3)

    thread = WorkerThread("w", fail, threading.Event())
    thread.join(20)
    assert isinstance(thread.failure, SystemExit)
