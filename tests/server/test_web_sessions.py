from __future__ import annotations

import pytest
from fakes_web import Clock

from server.security.callers import LOCAL
from server.web.sessions import Sessions
from server.web.settings import WebSettings


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(clock: Clock) -> Sessions:
    return Sessions(WebSettings(idle_s=10, session_s=25, most_sessions=2), clock)


def test_a_session_lasts_while_it_is_used(sessions: Sessions, clock: Clock) -> None:
    session = sessions.begin(LOCAL)
    for _ in range(2):
        clock.now_s += 9
        assert sessions.find(session.key) is session


def test_a_session_that_is_not_used_is_over(sessions: Sessions, clock: Clock) -> None:
    session = sessions.begin(LOCAL)
    clock.now_s += 11
    assert sessions.find(session.key) is None


def test_no_session_lasts_for_ever(sessions: Sessions, clock: Clock) -> None:
    session = sessions.begin(LOCAL)
    for _ in range(3):
        clock.now_s += 9
        found = sessions.find(session.key)
    assert found is None


def test_a_session_that_was_ended_is_over(sessions: Sessions) -> None:
    session = sessions.begin(LOCAL)
    sessions.end(session)
    sessions.end(session)
    assert sessions.find(session.key) is None


def test_who_was_idle_for_longest_makes_room(sessions: Sessions, clock: Clock) -> None:
    one, two = sessions.begin(LOCAL), sessions.begin(LOCAL)
    clock.now_s += 1
    sessions.find(one.key)
    three = sessions.begin(LOCAL)
    assert [sessions.find(each.key) is None for each in (one, two, three)] == [False, True, False]


def test_no_two_sessions_share_a_secret(sessions: Sessions) -> None:
    one, two = sessions.begin(LOCAL), sessions.begin(LOCAL)
    assert len({one.key, two.key, one.csrf_token, two.csrf_token}) == 4
    assert one.key not in repr(one)
