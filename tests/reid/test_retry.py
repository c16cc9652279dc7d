from __future__ import annotations

import random

from reid.retry import Backoff


def test_waits_double_up_to_the_bound_with_jitter() -> None:
    backoff = Backoff(first_s=1.0, most_s=5.0, rng=random.Random(0))
    waits = [backoff.next_wait_s() for _ in range(6)]
    for wait_s, bound_s in zip(waits, [1, 2, 4, 5, 5, 5], strict=True):
        assert bound_s / 2 <= wait_s <= bound_s


def test_a_success_starts_again_from_the_first_wait() -> None:
    backoff = Backoff(first_s=1.0, most_s=60.0)
    for _ in range(5):
        backoff.next_wait_s()
    backoff.reset()
    assert backoff.next_wait_s() <= 1.0


def test_thousands_of_attempts_do_not_overflow() -> None:
    backoff = Backoff(first_s=1.0, most_s=10.0)
    assert max(backoff.next_wait_s() for _ in range(5000)) <= 10.0
