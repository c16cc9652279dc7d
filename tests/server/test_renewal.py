from __future__ import annotations

import asyncio
from typing import Any

import pytest
import structlog

from server.errors import SecurityError
from server.releases.renewal import keep_signed


class FakeRepository:
    def __init__(self, *outcomes: object) -> None:
        self.outcomes = list(outcomes)
        self.num_renewals = 0

    def renew(self) -> list[str]:
        self.num_renewals += 1
        outcome = self.outcomes.pop(0) if self.outcomes else []
        if isinstance(outcome, Exception):
            raise outcome
        return outcome  # type: ignore[return-value]

    def warning(self) -> str:
        return "the root ends"


@pytest.mark.parametrize("failure", [SecurityError("no key"), OSError("disk full")])
def test_renewal_goes_on_after_a_failure_and_warns_once(failure: Exception) -> None:
    repository: Any = FakeRepository(failure, ["timestamp"])

    async def run() -> None:
        keeping = asyncio.create_task(keep_signed(repository, every_s=0.01))
        while repository.num_renewals < 5:
            await asyncio.sleep(0.01)
        keeping.cancel()

    with structlog.testing.capture_logs() as logs:
        asyncio.run(run())
    events = [entry["event"] for entry in logs]
    assert events[0].startswith("signatures not renewed")
    assert events[1:3] == ["signatures renewed", "the root ends"]
    assert events.count("the root ends") == 1
