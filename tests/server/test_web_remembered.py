from __future__ import annotations

import threading

import pytest
from fakes_web import Clock

from server.errors import StorageError
from server.web.remembered import Remembered


def test_a_figure_is_gathered_once_while_it_is_young() -> None:
    figures = iter(range(10))
    remembered = Remembered(lambda: next(figures), every_s=5, clock=Clock())
    assert [remembered.get(), remembered.get()] == [0, 0]


def test_nobody_waits_for_a_figure_to_be_gathered_anew() -> None:
    clock, may_end, figures = Clock(), threading.Event(), iter(range(10))

    def gather() -> int:
        figure = next(figures)
        if figure:
            may_end.wait(5)
        return figure

    remembered = Remembered(gather, every_s=5, clock=clock)
    remembered.get()
    clock.now_s += 5
    assert remembered.get() == 0
    may_end.set()
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.daemon and "_renew" in thread.name:
            thread.join(5)
    assert remembered.get() == 1


def test_a_figure_stays_when_it_cannot_be_gathered_anew() -> None:
    clock, is_broken = Clock(), threading.Event()

    def gather() -> int:
        if is_broken.is_set():
            raise StorageError("gone")
        return 7

    remembered = Remembered(gather, every_s=5, clock=clock)
    remembered.get()
    is_broken.set()
    clock.now_s += 5
    assert [remembered.get(), remembered.get()] == [7, 7]


def test_the_first_to_ask_is_told_what_is_wrong() -> None:
    def gather() -> int:
        raise StorageError("gone")

    with pytest.raises(StorageError, match="gone"):
        Remembered(gather, every_s=5, clock=Clock()).get()
