"""The roll-outs of the site, as a run uses them."""

from __future__ import annotations

import asyncio

from server.adaptation.delivery import RolloutNews
from server.releases.ledger import RolloutLedger
from server.releases.roller import Roller
from server.releases.rollout import Rollout
from server.types import Actor


class SiteRollouts:
    """Implements `server.adaptation.delivery.Rollouts`.

    Args:
        roller: Carries them out.
        ledger: All of them.
        actor: In whose name they are begun.
    """

    def __init__(self, roller: Roller, ledger: RolloutLedger, actor: Actor) -> None:
        self._roller = roller
        self._ledger = ledger
        self._actor = actor

    async def begin(self, space: str) -> RolloutNews:
        """See `Rollouts`."""
        latest = self._roller.latest
        if latest is not None and latest.space == space and latest.state != "aborted":
            return _news(latest)
        return _news(await self._roller.start(space, self._actor))

    async def news(self, rollout_key: int) -> RolloutNews:
        """See `Rollouts`."""
        latest = self._roller.latest
        if latest is not None and latest.rollout_key == rollout_key:
            return _news(latest)
        return _news(await asyncio.to_thread(self._ledger.get, rollout_key))


def _news(rollout: Rollout) -> RolloutNews:
    reason = rollout.reason or f"ring {rollout.ring + 1} of {len(rollout.rings)}"
    return RolloutNews(rollout.rollout_key, rollout.state, reason)
