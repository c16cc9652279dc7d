from __future__ import annotations

import numpy as np
import pytest
from fakes_source import LONG_S, FakeClock, FakeSource, Hang, Step, make_frame, picture

from edge.connection import CaptureCounts, Connection, is_picture
from edge.errors import BrokenFrameError, SourceError


def connect(source: FakeSource, *, latest_wins: bool = False, capacity: int = 2) -> Connection:
    return Connection(lambda: source, name="read-test", latest_wins=latest_wins, capacity=capacity, clock=FakeClock())


def take_all(connection: Connection) -> list[int]:
    indices = []
    while (frame := connection.take(LONG_S)) is not None:
        indices.append(frame.index)
    return indices


def test_every_frame_of_a_file_arrives_in_order() -> None:
    connection = connect(FakeSource([make_frame(i) for i in range(50)]))
    assert take_all(connection) == list(range(50))
    assert connection.is_over
    assert connection.fault is None
    assert connection.counts == CaptureCounts(frames=50)


def test_a_full_inbox_makes_the_reader_of_a_file_wait() -> None:
    source = FakeSource([make_frame(i) for i in range(9)])
    connection = connect(source, capacity=2)
    assert connection.take(LONG_S) is not None
    assert source.num_read <= 1 + 2 + 1  # taken, in the inbox, in the reader's hands
    assert len(take_all(connection)) == 8


def test_frames_that_wait_are_counted() -> None:
    connection = connect(FakeSource([make_frame(i) for i in range(9)]), latest_wins=True)
    connection.join(LONG_S)
    assert connection.depth == 1
    assert take_all(connection) == [8]
    assert connection.depth == 0


def test_the_latest_frame_of_a_camera_replaces_older_ones() -> None:
    connection = connect(FakeSource([make_frame(i) for i in range(9)]), latest_wins=True)
    connection.join(LONG_S)
    assert take_all(connection) == [8]
    assert connection.counts == CaptureCounts(frames=9, dropped=8)


def test_frames_before_a_break_are_delivered_and_then_its_reason() -> None:
    connection = connect(FakeSource([make_frame(0), make_frame(1), SourceError("unplugged")]))
    assert take_all(connection) == [0, 1]
    assert connection.is_over
    assert str(connection.fault) == "unplugged"


@pytest.mark.parametrize(
    "bad",
    [
        BrokenFrameError("damaged"),
        make_frame(1, np.zeros((4, 4), np.uint8)),
        make_frame(1, np.zeros((0, 4, 3), np.uint8)),
    ],
    ids=["undecodable", "grey", "empty"],
)
def test_a_broken_frame_is_counted_and_passed_over(bad: Step) -> None:
    connection = connect(FakeSource([make_frame(0), bad, make_frame(2)]))
    assert take_all(connection) == [0, 2]
    assert connection.counts == CaptureCounts(frames=2, broken=1)


def test_a_frame_of_another_resolution_is_passed_on() -> None:
    connection = connect(FakeSource([make_frame(0), make_frame(1, picture(height=20, width=30))]))
    assert [connection.take(LONG_S).image.shape for _ in range(2)] == [(8, 8, 3), (20, 30, 3)]  # type: ignore[union-attr]


def test_a_surprise_of_a_driver_becomes_a_fault() -> None:
    connection = connect(FakeSource([ZeroDivisionError("driver")]))
    assert take_all(connection) == []
    assert "ZeroDivisionError: driver" in str(connection.fault)


def test_the_source_is_closed_at_the_end_and_after_a_break() -> None:
    for source in (FakeSource([]), FakeSource([SourceError("broke")])):
        connect(source).join(LONG_S)
        assert source.closed.is_set()


def test_nothing_comes_out_of_an_abandoned_connection_and_its_source_is_closed_when_the_read_returns() -> None:
    hang = Hang()
    source = FakeSource([hang, make_frame(0), make_frame(1)])
    connection = connect(source, latest_wins=True)
    connection.abandon()
    assert connection.is_running
    hang.released.set()
    assert source.closed.wait(LONG_S)
    assert connection.take(0) is None


def test_abandoning_frees_a_reader_that_waits_for_room() -> None:
    source = FakeSource([make_frame(i) for i in range(99)])
    connection = connect(source, capacity=1)
    connection.take(LONG_S)
    connection.abandon()
    assert source.closed.wait(LONG_S)


def test_taking_does_not_wait_longer_than_asked() -> None:
    hang = Hang()
    connection = connect(FakeSource([hang]))
    assert connection.take(0) is None
    assert not connection.is_over
    hang.released.set()


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (picture(), True),
        (np.zeros((4, 4, 4), np.uint8), False),
        (np.zeros((4, 4, 3), np.uint16), False),
        (np.zeros((4, 0, 3), np.uint8), False),
        (None, False),
    ],
    ids=["bgr", "bgra", "16-bit", "empty", "none"],
)
def test_only_bgr_uint8_is_a_picture(image: np.ndarray, expected: bool) -> None:
    assert is_picture(image) is expected
