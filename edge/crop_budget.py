"""How many bytes of crops may leave within a day; the edge's own bound beside whatever the server allows itself."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class DailyBudget:
    """What may leave within a day (UTC).

    Attributes:
        limit_bytes: On one day.
        day: Of the last charge, since the Unix epoch.
        spent_bytes: On that day.
    """

    limit_bytes: int
    day: int = 0
    spent_bytes: int = 0

    def left_bytes(self, day: int) -> int:
        """What may still leave on a day."""
        return max(0, self.limit_bytes - (self.spent_bytes if day == self.day else 0))

    def charge(self, day: int, num_bytes: int) -> DailyBudget:
        """The budget after so many bytes more."""
        return replace(self, day=day, spent_bytes=num_bytes + (self.spent_bytes if day == self.day else 0))
