"""Who is logged in: in memory only, so that a restart logs everybody out."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from server.security.callers import Caller
from server.web.settings import WebSettings

_KEY_BYTES = 32


def _new_token() -> str:
    return secrets.token_urlsafe(_KEY_BYTES)


@dataclass(kw_only=True)
class Session:
    """One login.

    Attributes:
        caller: Who.
        began_s: When, of the clock of `Sessions`.
        used_s: When a page was asked for last.
        key: Its secret, which the browser keeps in a cookie.
        csrf_token: Stands in each of its forms, and comes back with them.
        notice: What the next page says first; empty for nothing.
    """

    caller: Caller
    began_s: float
    used_s: float
    key: str = field(default_factory=_new_token, repr=False)
    csrf_token: str = field(default_factory=_new_token, repr=False)
    notice: str = ""

    def take_notice(self) -> str:
        """The notice, once."""
        notice, self.notice = self.notice, ""
        return notice


class Sessions:
    """All logins. Used by the event loop alone.

    Args:
        settings: How long they last, and how many there may be.
        clock: Monotonic, seconds.
    """

    def __init__(self, settings: WebSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._sessions: dict[str, Session] = {}

    def begin(self, caller: Caller) -> Session:
        """Log somebody in. Where there are too many, who was idle for longest is logged out."""
        self._end_old()
        while len(self._sessions) >= self._settings.most_sessions:
            self.end(min(self._sessions.values(), key=lambda session: session.used_s))
        now_s = self._clock()
        session = Session(caller=caller, began_s=now_s, used_s=now_s)
        self._sessions[session.key] = session
        return session

    def find(self, key: str) -> Session | None:
        """The session of a key; None for one that never was, or is over."""
        session = self._sessions.get(key)
        if session is None or self._is_over(session):
            return None
        session.used_s = self._clock()
        return session

    def end(self, session: Session) -> None:
        """Log out; no harm in saying so twice."""
        self._sessions.pop(session.key, None)

    def _end_old(self) -> None:
        for session in [each for each in self._sessions.values() if self._is_over(each)]:
            self.end(session)

    def _is_over(self, session: Session) -> bool:
        now_s, settings = self._clock(), self._settings
        return now_s - session.used_s > settings.idle_s or now_s - session.began_s > settings.session_s
