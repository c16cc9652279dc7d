"""Whether a run should begin by itself, and why. Pure: facts, settings and the time in, a reason out.

The order of the reasons: drift, new tracklets, schedule. None counts while a run is under way, in quiet hours, or too
soon after the last run began. An operator asks nobody here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from server.adaptation.hours import is_quiet
from server.adaptation.run import Trigger
from server.adaptation.settings import TriggerSettings

_DAY_US = 86_400 * 1_000_000


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of the site.

    Attributes:
        last_started_us: When the last run began; when this server first looked, if there was none.
        num_new_tracklets: Stored since then.
        drifts: What changed, a sentence for each camera.
    """

    last_started_us: int
    num_new_tracklets: int
    drifts: Sequence[str] = ()


@dataclass(frozen=True)
class Reason:
    """Why a run begins."""

    trigger: Trigger
    message: str


def may_begin(last_started_us: int, settings: TriggerSettings, now_us: int) -> bool:
    """True if a run may begin by itself at this moment, whatever the reason.

    Args:
        last_started_us: When the last run began; 0 if there was none.
        settings: When not.
        now_us: Server's clock.
    """
    is_soon = last_started_us and now_us - last_started_us < settings.least_days_between * _DAY_US
    return settings.automatic and not is_soon and not is_quiet(settings.spans, now_us, settings.zone)


def reason_to_begin(facts: Facts, settings: TriggerSettings, now_us: int) -> Reason | None:
    """Why a run should begin; None if nothing calls for one."""
    if facts.drifts:
        return Reason("drift", "; ".join(facts.drifts))
    if 0 < settings.new_tracklets <= facts.num_new_tracklets:
        return Reason("tracklets", f"{facts.num_new_tracklets} tracklets are new, {settings.new_tracklets} are enough")
    days = (now_us - facts.last_started_us) / _DAY_US
    if 0 < settings.every_days <= days:
        return Reason("schedule", f"{days:.1f} days went by, every {settings.every_days:g} days it is time")
    return None
