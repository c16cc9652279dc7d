from __future__ import annotations

import os
import sys
import threading

import pytest

from edge.releases.priority import low_priority

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads have no priority of their own")


def niceness():
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def in_thread(work):
    """Run work in a thread that ends with its priority; what it returns."""
    seen = []
    thread = threading.Thread(target=lambda: seen.append(work()))
    thread.start()
    thread.join()
    return seen[0]


def test_this_thread_gives_way_and_comes_back():
    def work():
        before = niceness()
        with low_priority() as is_low:
            within = niceness()
        return before, within, niceness(), is_low

    before, within, after, is_low = in_thread(work)
    assert after == before
    assert (within > before) == (is_low and before < 19)


def test_threads_born_within_are_lifted_at_its_end():
    end = threading.Event()
    seen = []

    def born():
        end.wait(20)
        seen.append(niceness())

    def work():
        before = niceness()
        with low_priority():
            thread = threading.Thread(target=born)
            thread.start()
        end.set()
        thread.join()
        return before

    assert [in_thread(work)] == seen


def test_who_may_not_come_back_is_not_lowered(monkeypatch):
    def refuse(which, who, niceness):
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refuse)
    before = niceness()
    with low_priority() as is_low:
        assert (is_low, niceness()) == (False, before)
