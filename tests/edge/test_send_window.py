from __future__ import annotations

import pytest

from edge.send_window import FULL_BATCH, SendWindow


def test_window_is_full_after_its_batches():
    window = SendWindow(acked_seq=0, window_batches=2)
    window.sent(8, 0.0)
    window.sent(16, 0.0)
    assert not window.has_room
    window.acknowledged(8, 1.0)
    assert window.has_room


def test_small_batch_goes_alone_and_waits_behind_another():
    window = SendWindow(acked_seq=0, window_batches=4)
    assert window.is_worth_sending(1)
    window.sent(1, 0.0)
    assert not window.is_worth_sending(FULL_BATCH - 1)
    assert window.is_worth_sending(FULL_BATCH)
    assert not window.is_worth_sending(0)


def test_acknowledgement_is_cumulative():
    window = SendWindow(acked_seq=0, window_batches=4)
    for last_seq in (3, 9, 12):
        window.sent(last_seq, 0.0)
    assert window.acknowledged(9, 1.0)
    assert (window.num_batches, window.acked_seq, window.last_sent_seq) == (1, 9, 12)


def test_repeated_or_older_acknowledgement_says_nothing_new():
    window = SendWindow(acked_seq=5, window_batches=4)
    window.sent(9, 0.0)
    assert window.acknowledged(9, 1.0)
    assert not window.acknowledged(9, 1.0)
    assert not window.acknowledged(4, 1.0)


def test_acknowledgement_of_what_was_never_sent_is_refused():
    with pytest.raises(ValueError, match="only 5 was sent"):
        SendWindow(acked_seq=5, window_batches=4).acknowledged(6, 0.0)


def test_sequence_numbers_must_rise():
    with pytest.raises(ValueError, match="already sent"):
        SendWindow(acked_seq=5, window_batches=4).sent(5, 0.0)


def test_waiting_starts_anew_with_every_acknowledgement():
    window = SendWindow(acked_seq=0, window_batches=4)
    assert window.waited_s(100.0) == 0.0
    window.sent(1, 0.0)
    window.sent(2, 0.0)
    assert window.waited_s(7.0) == 7.0
    window.acknowledged(1, 7.0)
    assert window.waited_s(8.0) == 1.0


def test_window_of_nothing_still_lets_one_batch_through():
    assert SendWindow(acked_seq=0, window_batches=0).has_room
