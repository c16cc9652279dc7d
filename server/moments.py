"""How people read and write moments and spans of time. Inside, moments are microseconds since the Unix epoch."""

from __future__ import annotations

from datetime import datetime, timezone

from reid.errors import ConfigError


def moment(time_us: int) -> str:
    """A time in UTC, to the second."""
    try:
        return datetime.fromtimestamp(time_us / 1e6, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return f"{time_us} us"  # an edge's clock may say anything


def duration(time_us: int) -> str:
    """A span of time, to the second."""
    minutes, seconds = divmod(abs(time_us) // 1_000_000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{'-' if time_us < 0 else ''}{hours}:{minutes:02}:{seconds:02}"


def read_moment(text: str, *, option: str) -> int:
    """Microseconds of an ISO date or time, UTC unless it says otherwise.

    Args:
        text: Such as 2026-01-31 or 2026-01-31T08:00.
        option: Which one it was given to, for the message.

    Raises:
        ConfigError: It is neither.
    """
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{option} {text!r}: wanted a date or time such as 2026-01-31 or 2026-01-31T08:00") from None
    if read.tzinfo is None:
        read = read.replace(tzinfo=timezone.utc)
    return int(read.timestamp() * 1e6)
