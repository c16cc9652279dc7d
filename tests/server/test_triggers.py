from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from server.adaptation.settings import TriggerSettings
from server.adaptation.triggers import Facts, may_begin, reason_to_begin

DAY_US = 86_400 * 1_000_000
NOW_US = 1_000 * DAY_US + DAY_US // 2  # noon


def reason(settings: Mapping[str, Any], **facts: Any) -> str | None:
    values = {"last_started_us": NOW_US - DAY_US, "num_new_tracklets": 0, **facts}
    found = reason_to_begin(Facts(**values), TriggerSettings(automatic=True, **settings), NOW_US)
    return found.trigger if found else None


@pytest.mark.parametrize(
    ("settings", "facts", "trigger"),
    [
        ({}, {}, None),
        ({"new_tracklets": 100}, {"num_new_tracklets": 100}, "tracklets"),
        ({"new_tracklets": 100}, {"num_new_tracklets": 99}, None),
        ({"new_tracklets": 0}, {"num_new_tracklets": 10**9}, None),
        ({"every_days": 1}, {}, "schedule"),
        ({"every_days": 1.1}, {}, None),
        ({"every_days": 0}, {"last_started_us": 0}, None),
        ({}, {"drifts": ["camera a"]}, "drift"),
        ({"every_days": 1}, {"drifts": ["camera a"], "num_new_tracklets": 10**9}, "drift"),
    ],
)
def test_a_run_begins_for_a_reason(settings: dict[str, Any], facts: dict[str, Any], trigger: str | None) -> None:
    assert reason(settings, **facts) == trigger


@pytest.mark.parametrize(
    ("settings", "last_us", "may"),
    [
        ({}, NOW_US - DAY_US, True),
        ({}, NOW_US - DAY_US + 1, False),
        ({}, 0, True),
        ({"automatic": False}, 0, False),
        ({"quiet_hours": "11:00-13:00"}, 0, False),
        ({"quiet_hours": "13:00-11:00"}, 0, True),
        ({"least_days_between": 0}, NOW_US, True),
    ],
)
def test_no_run_begins_when_it_must_not(settings: dict[str, Any], last_us: int, may: bool) -> None:
    assert may_begin(last_us, TriggerSettings(**{"automatic": True, **settings}), NOW_US) is may
