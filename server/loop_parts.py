"""What the closed loop consists of, for whoever shows it or gives it orders: gRPC services and the console."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from server.adaptation.book import RunBook
from server.adaptation.folder import AdaptationFolder
from server.adaptation.loop import AdaptationLoop
from server.crops.exchange import CropExchange
from server.crops.source import SiteCrops
from server.crops.store import CropStore
from server.releases.fleet import FleetBook
from server.releases.inbox import ReleaseInbox
from server.releases.ledger import RolloutLedger
from server.releases.roller import Roller


@dataclass(frozen=True, kw_only=True)
class LoopParts:
    """The parts.

    Attributes:
        loop: Begins, stops and resumes adaptation runs.
        runs: All runs.
        run_folder: That of a run, by its number.
        roller: Begins and stops roll-outs.
        ledger: All roll-outs.
        book: What the edges say of themselves.
        inbox: Takes in releases.
        crops: What runs ask of crops.
        exchange: Asks edges for crops.
        store: The crops that are here.
    """

    loop: AdaptationLoop
    runs: RunBook
    run_folder: Callable[[int], AdaptationFolder]
    roller: Roller
    ledger: RolloutLedger
    book: FleetBook
    inbox: ReleaseInbox
    crops: SiteCrops
    exchange: CropExchange
    store: CropStore
