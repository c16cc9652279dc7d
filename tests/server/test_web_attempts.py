from __future__ import annotations

import pytest
from fakes_web import Clock

from server.web.attempts import Attempts


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def attempts(clock: Clock) -> Attempts:
    return Attempts(3, clock)


def test_a_few_failures_are_forgiven(attempts: Attempts) -> None:
    for _ in range(2):
        attempts.note_failure("a")
    assert attempts.wait_s("a") == 0


def test_too_many_failures_make_their_address_wait(attempts: Attempts, clock: Clock) -> None:
    for _ in range(3):
        attempts.note_failure("a")
        clock.now_s += 10
    assert attempts.wait_s("a") == 30
    assert attempts.wait_s("b") == 0


def test_a_minute_later_it_may_try_again(attempts: Attempts, clock: Clock) -> None:
    for _ in range(3):
        attempts.note_failure("a")
    clock.now_s += 60
    assert attempts.wait_s("a") == 0


def test_failures_from_everywhere_make_everybody_wait(attempts: Attempts) -> None:
    for number in range(30):
        attempts.note_failure(str(number))
    assert attempts.wait_s("new") == 60
