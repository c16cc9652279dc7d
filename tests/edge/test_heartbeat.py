from __future__ import annotations

from fakes_source import FakeClock

from edge.heartbeat import Heartbeat


def test_silence_is_counted_from_the_last_beat() -> None:
    clock = FakeClock()
    heartbeat = Heartbeat(clock)
    heartbeat.beat()
    clock.now_s += 3.0
    assert heartbeat.silent_s == 3.0
    heartbeat.beat()
    assert heartbeat.silent_s == 0.0


def test_a_loop_that_has_not_begun_or_has_ended_is_not_silent() -> None:
    clock = FakeClock()
    heartbeat = Heartbeat(clock)
    clock.now_s += 99.0
    assert heartbeat.silent_s == 0.0
    heartbeat.beat()
    heartbeat.rest()
    clock.now_s += 99.0
    assert heartbeat.silent_s == 0.0
