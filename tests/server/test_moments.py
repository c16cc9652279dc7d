from __future__ import annotations

import pytest

from reid.errors import ConfigError
from server.moments import duration, moment, read_moment


@pytest.mark.parametrize(
    ("text", "time_us"),
    [("1970-01-02", 86_400_000_000), ("1970-01-01T00:00:01.5", 1_500_000), ("1970-01-01T01:00+01:00", 0)],
    ids=["date", "UTC", "zone"],
)
def test_moments_are_utc_unless_they_say_otherwise(text: str, time_us: int) -> None:
    assert read_moment(text, option="--since") == time_us


def test_what_is_no_moment_is_named_with_its_option() -> None:
    with pytest.raises(ConfigError, match="--until 'soon': wanted a date or time such as"):
        read_moment("soon", option="--until")


def test_moments_and_spans_are_shown_to_the_second() -> None:
    assert (moment(1_999_999), duration(3_723_000_000), duration(-1_000_000)) == (
        "1970-01-01 00:00:01",
        "1:02:03",
        "-0:00:01",
    )
    assert moment(1 << 62) == f"{1 << 62} us"
