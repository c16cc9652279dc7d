from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from fakes_source import LONG_S, FakeClock, FakeSource, Hang, Opener, make_frame
from structlog.testing import capture_logs

from edge.capture import Capture, CaptureSettings
from edge.connection import CaptureCounts
from edge.errors import SourceError
from edge.frames import Frame
from reid.retry import Backoff


@pytest.fixture
def hang() -> Iterator[Hang]:
    """Released at the end, so that no thread outlives its test."""
    hang = Hang()
    yield hang
    hang.released.set()


def capture_of(opener: Opener, *, is_live: bool, clock: FakeClock | None = None, first_s: float = 0.0) -> Capture:
    return Capture(
        opener,
        camid="c1",
        is_live=is_live,
        settings=CaptureSettings(max_hung_reads=2),
        backoff=Backoff(first_s=first_s),
        clock=clock or FakeClock(),
    )


def take(capture: Capture) -> Frame:
    frame = capture.next_frame(LONG_S)
    assert frame is not None
    return frame


def test_a_file_gives_every_frame_and_then_ends() -> None:
    opener = Opener(FakeSource([make_frame(i) for i in range(20)], frame_rate_hz=12.5))
    capture = capture_of(opener, is_live=False)
    assert [take(capture).index for _ in range(20)] == list(range(20))
    assert capture.next_frame(LONG_S) is None
    assert (capture.ended, capture.failure, opener.num_opened) == (True, None, 1)
    assert capture.counts == CaptureCounts(frames=20)
    assert capture.frame_rate_hz == 12.5


def test_frames_that_wait_are_counted_while_there_is_a_connection() -> None:
    capture = capture_of(Opener(FakeSource([make_frame(i) for i in range(20)])), is_live=False)
    assert capture.depth == 0
    take(capture)
    assert capture.depth <= CaptureSettings().queue_frames
    capture.stop()
    assert capture.depth == 0


def test_a_broken_file_gives_what_could_be_read_and_then_its_failure() -> None:
    capture = capture_of(Opener(FakeSource([make_frame(0), SourceError("truncated")])), is_live=False)
    assert take(capture).index == 0
    assert capture.next_frame(LONG_S) is None
    assert capture.ended
    assert str(capture.failure) == "truncated"


def test_a_file_that_cannot_be_opened_is_not_tried_again() -> None:
    opener = Opener(SourceError("missing"))
    capture = capture_of(opener, is_live=False)
    assert capture.next_frame(LONG_S) is None
    assert (capture.ended, str(capture.failure), opener.num_opened) == (True, "missing", 1)


def test_a_camera_is_opened_again_after_a_break(hang: Hang) -> None:
    opener = Opener(
        FakeSource([make_frame(0), SourceError("broke")], is_live=True),
        SourceError("still away"),
        FakeSource([make_frame(1), hang], is_live=True),
    )
    capture = capture_of(opener, is_live=True)
    assert [take(capture).index, take(capture).index] == [0, 1]
    assert opener.num_opened == 3
    assert capture.counts == CaptureCounts(frames=2, reconnects=1)
    assert not capture.ended


def test_a_camera_that_is_away_at_the_start_is_waited_for(hang: Hang) -> None:
    opener = Opener(SourceError("away"), SourceError("away"), FakeSource([make_frame(0), hang], is_live=True))
    capture = capture_of(opener, is_live=True)
    assert take(capture).index == 0
    assert capture.counts == CaptureCounts(frames=1)


def test_why_a_camera_is_away_is_known_while_it_is_and_logged_once(hang: Hang) -> None:
    opener = Opener(*[SourceError("away")] * 3, SourceError("refused"), FakeSource([hang, make_frame(0)], is_live=True))
    capture = capture_of(opener, is_live=True)
    with capture_logs() as logs:
        while not hang.begun.is_set():
            capture.next_frame(0)
        assert str(capture.failure) == "refused"
        hang.released.set()
        take(capture)
    assert capture.failure is None
    warnings = [(line["event"], line.get("reason")) for line in logs if line["log_level"] != "debug"]
    assert warnings == [("camera lost", "away"), ("camera lost", "refused"), ("camera is back", None)]


def test_a_camera_is_not_opened_again_before_the_back_off_has_passed() -> None:
    clock, opener = FakeClock(), Opener(SourceError("away"))
    backoff = Backoff(first_s=8.0)
    capture = Capture(opener, camid="c1", is_live=True, backoff=backoff, clock=clock)
    while backoff == Backoff(first_s=8.0, rng=backoff.rng):  # the first wait is not drawn yet
        capture.next_frame(0)
    for _ in range(5):
        capture.next_frame(0)
    assert opener.num_opened == 1
    clock.now_s += 8.0
    while opener.num_opened == 1:
        capture.next_frame(0)


def test_a_read_that_hangs_is_abandoned_and_the_camera_opened_again(hang: Hang) -> None:
    clock = FakeClock()
    stuck = FakeSource([make_frame(0), hang, make_frame(1)], is_live=True)
    opener = Opener(stuck, FakeSource([make_frame(7)], is_live=True))
    capture = capture_of(opener, is_live=True, clock=clock)
    assert take(capture).index == 0
    assert hang.begun.wait(LONG_S)
    clock.now_s += 10.5
    assert take(capture).index == 7
    assert capture.counts.reconnects == 1
    hang.released.set()
    assert stuck.closed.wait(LONG_S)


def test_an_opening_that_hangs_is_abandoned_too(hang: Hang) -> None:
    clock = FakeClock()
    good = FakeSource([make_frame(3)], is_live=True)
    openings = [hang, lambda: None]

    def open_source() -> FakeSource:
        openings.pop(0)()
        return good

    capture = Capture(open_source, camid="c1", is_live=True, backoff=Backoff(first_s=0.0), clock=clock)
    assert capture.next_frame(0) is None
    assert hang.begun.wait(LONG_S)
    clock.now_s += 10.5
    assert take(capture).index == 3


def test_a_camera_is_not_abandoned_before_its_time(hang: Hang) -> None:
    clock = FakeClock()
    opener = Opener(FakeSource([make_frame(0), hang, make_frame(1)], is_live=True))
    capture = capture_of(opener, is_live=True, clock=clock)
    assert take(capture).index == 0
    assert hang.begun.wait(LONG_S)
    clock.now_s += 9.5
    capture.next_frame(0)
    hang.released.set()
    assert take(capture).index == 1
    assert opener.num_opened == 1


def test_hung_reads_do_not_pile_up(hang: Hang) -> None:
    clock = FakeClock()
    sources = [FakeSource([hang], is_live=True) for _ in range(9)]
    opener = Opener(*sources)
    capture = capture_of(opener, is_live=True, clock=clock)
    for _ in range(20):
        capture.next_frame(0)
        clock.now_s += 60.0
    assert opener.num_opened <= 2


def test_a_file_may_take_its_time(hang: Hang) -> None:
    clock = FakeClock()
    opener = Opener(FakeSource([hang, make_frame(0)]))
    capture = capture_of(opener, is_live=False, clock=clock)
    capture.next_frame(0)
    assert hang.begun.wait(LONG_S)
    clock.now_s += 1000.0
    capture.next_frame(0)
    hang.released.set()
    assert take(capture).index == 0
    assert opener.num_opened == 1


def test_stop_ends_it_and_closes_the_source() -> None:
    source = FakeSource([make_frame(i) for i in range(99)])
    capture = capture_of(Opener(source), is_live=False)
    take(capture)
    capture.stop()
    capture.stop()
    assert capture.ended
    assert source.closed.is_set()
    assert capture.next_frame(LONG_S) is None


def test_stop_wakes_a_consumer_that_waits(hang: Hang) -> None:
    capture = capture_of(Opener(FakeSource([hang], is_live=True)), is_live=True)

    def stop_while_it_waits() -> None:
        hang.begun.wait(LONG_S)
        hang.released.set()
        capture.stop()

    threading.Thread(target=stop_while_it_waits).start()
    assert capture.next_frame(LONG_S) is None
    assert capture.ended


def test_stop_before_the_first_frame_opens_nothing() -> None:
    opener = Opener(FakeSource([make_frame(0)]))
    capture = capture_of(opener, is_live=False)
    capture.stop()
    assert capture.next_frame(LONG_S) is None
    assert opener.num_opened == 0
