"""Edges that answer for crops, well or badly, without a network; and a site whose crops they have."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from fakes_stream import SPOOL, ServerParts, batch, observation

from reid.types import Observation
from server.crops.answers import CropAnswer, CropRequest, Status
from server.crops.exchange import CropExchange
from server.crops.selection import WantedCrop
from server.crops.settings import CropSettings
from server.crops.store import ArrivedCrop, CropStore
from server.types import CropName, Spool

Behaviour = Callable[[CropRequest], Iterable[CropAnswer]]


def jpeg(number: int = 0, *, width_px: int = 128, height_px: int = 256) -> bytes:
    """A JPEG of a plain colour and a number."""
    picture = np.full((height_px, width_px, 3), 60 + number % 180, dtype=np.uint8)
    cv2.putText(picture, str(number), (4, height_px // 2), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (255, 255, 255), 2)
    return cv2.imencode(".jpg", picture)[1].tobytes()


def answer(request: CropRequest, seq: int, status: Status = "ok", content: bytes | None = None) -> CropAnswer:
    """An answer to a request; `content` stands for a good crop when it is None."""
    if content is None:
        content = jpeg(seq) if status == "ok" else b""
    return CropAnswer(request_id=request.request_id, seq=seq, status=status, jpeg=content, num_bytes=len(content) + 60)


def honest(request: CropRequest) -> Iterator[CropAnswer]:
    """Every crop that was asked for, as far as the bytes go."""
    left_bytes = request.max_bytes
    for seq in request.seqs:
        item = answer(request, seq)
        left_bytes -= item.num_bytes
        yield item if left_bytes >= 0 else answer(request, seq, "over_budget")


@asynccontextmanager
async def connected(exchange: CropExchange, behave: Behaviour = honest, spool: Spool = SPOOL) -> Any:
    """An edge that is there while the block runs, and comes again when its line ends; gives the requests it got."""
    requests: list[CropRequest] = []

    async def serve() -> None:
        while True:
            line = await exchange.connect(spool.edge_id, spool.spool_id)
            try:
                while True:
                    request = await line.next_request()
                    requests.append(request)
                    for item in behave(request):
                        line.take(item)
            except Exception:
                exchange.disconnect(line)
                await asyncio.sleep(0.01)

    serving = asyncio.create_task(serve())
    try:
        yield requests
    finally:
        serving.cancel()


def observe(parts: ServerParts, tracklets: Sequence[Sequence[int]], *, camids: Sequence[str] = ("cam1",)) -> None:
    """Store tracklets 1, 2, … of as many people, each with observations of the given sequence numbers, in seconds."""
    found: list[tuple[int, Observation]] = []
    for number, seqs in enumerate(tracklets, start=1):
        camid = camids[number % len(camids)]
        found += [(seq, observation(number, camid=camid, tracklet_id=number, time_s=seq)) for seq in seqs]
    for seq, item in sorted(found, key=lambda pair: pair[0]):
        parts.ingest.step([batch(seq, item)])


def wanted(*seqs: int, tracklet: int = 1) -> list[WantedCrop]:
    """Crops of one tracklet."""
    return [WantedCrop(tracklet, 1, seq, seq) for seq in seqs]


def store_of(parts: ServerParts, *, quota_bytes: int = 1 << 24) -> CropStore:
    return CropStore(parts.engine, parts.data / "crops", quota_bytes=quota_bytes, clock_us=parts.clock)


def put(store: CropStore, tracklet: int, *seqs: int) -> None:
    """Keep crops of a tracklet."""
    arrived = [ArrivedCrop(CropName(1, seq), tracklet, seq * 1_000_000, jpeg(seq)) for seq in seqs]
    store.write_files(arrived)
    store.keep("edge1", arrived, num_crops=len(arrived), num_bytes=sum(len(crop.jpeg) for crop in arrived))


def exchange_of(
    parts: ServerParts, settings: CropSettings | None = None, store: CropStore | None = None
) -> CropExchange:
    """An exchange over these parts, with a second edge's spool known under key 2."""

    async def submit(operation: Callable[[], list[CropName]]) -> list[CropName]:
        return operation()

    spools = {state.spool_key: spool for spool, state in parts.ingest.spools().items()}
    return CropExchange(
        store or store_of(parts),
        settings or CropSettings(answer_timeout_s=0.2),
        spools=lambda: spools,
        submit=submit,
        clock_us=parts.clock,
    )


def files_under(folder: Path) -> list[str]:
    """Names of all files, sorted."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def run(awaited: Awaitable[Any]) -> Any:
    """Run to the end, within a few seconds."""

    async def main() -> Any:
        return await asyncio.wait_for(awaited, 10)

    return asyncio.run(main())
