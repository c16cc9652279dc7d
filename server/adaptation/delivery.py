"""The last step: the release goes to the edges, ring by ring, and the gallery follows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, Protocol

from server.adaptation.loop import Save
from server.adaptation.run import AdaptationRun, next_step
from server.errors import AdaptationError


class RolloutNews(NamedTuple):
    """Where a roll-out is: running, paused, rolling_back, done or aborted, and why."""

    rollout_key: int
    state: str
    reason: str


class Rollouts(Protocol):
    """The roll-outs of the site."""

    async def begin(self, space: str) -> RolloutNews:
        """Start one; gives the latest if that brings this release already.

        Raises:
            ConflictError: Another one is under way.
        """

    async def news(self, rollout_key: int) -> RolloutNews:
        """Where one is."""


class Delivery:
    """Brings an accepted release to the edges.

    Args:
        rollouts: The roll-outs of the site.
        served: Names the space that the gallery is in.
        poll_s: How often to look.
        clock_us: Microseconds since the Unix epoch.
    """

    def __init__(
        self, rollouts: Rollouts, *, served: Callable[[], str], poll_s: float, clock_us: Callable[[], int]
    ) -> None:
        self._rollouts = rollouts
        self._served = served
        self._poll_s = poll_s
        self._clock_us = clock_us

    async def take(self, run: AdaptationRun, save: Save) -> AdaptationRun:
        """See `Step`."""
        if not run.rollout_key:
            begun = await self._rollouts.begin(run.space)
            run = await save(replace(run, rollout_key=begun.rollout_key))
        while True:
            news = await self._rollouts.news(run.rollout_key)
            if news.state == "aborted":
                raise AdaptationError(f"roll-out {run.rollout_key} was aborted: {news.reason}")
            if news.state == "done" and await asyncio.to_thread(self._served) == run.space:
                message = f"{run.space} is on the edges, and served"
                return next_step(run, "done", message=message, now_us=self._clock_us())
            message = "the gallery moves" if news.state == "done" else f"roll-out {news.state}: {news.reason}"
            if message != run.message:
                run = await save(replace(run, message=message))
            await asyncio.sleep(self._poll_s)

    async def halt(self, run: AdaptationRun) -> None:
        """Its roll-out is ended by `rollout abort`, not from here."""
