"""The edge's ring and answers with the server's exchange, over the real wire, in this process."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import grpc
import numpy as np

from edge.crop_answers import CropAnswers
from edge.ring import CropRing, NumberedCrop, RingSettings
from protos import crops_pb2_grpc
from reid.types import Box, Observation
from server.api.crops import CropServicer
from server.crops.budget import EdgeTraffic
from server.crops.exchange import CropExchange
from server.crops.selection import WantedCrop
from server.crops.settings import CropSettings
from server.types import Spool

LONG_S = 30.0
SPOOL_KEY = 3


class Keeper:
    """Keeps crops in memory."""

    def __init__(self):
        self.jpegs = {}
        self.unwanted = set()

    def known(self, names):
        return {name for name in names if name in self.jpegs}

    def traffic(self, edge_id, *, day):
        return EdgeTraffic()

    def write_files(self, arrived):
        self.jpegs.update({crop.name: crop.jpeg for crop in arrived})

    def keep(self, edge_id, arrived, *, num_crops, num_bytes):
        return [crop.name for crop in arrived]

    def to_forget(self, spool_key, limit):
        return [seq for key, seq in sorted(self.unwanted) if key == spool_key][:limit]

    def note_forgotten(self, names):
        self.unwanted.difference_update(names)
        return names


def fill(folder: Path, number: int) -> CropRing:
    ring = CropRing(folder / "ring", spool_id="spool-1", secret=lambda: b"s" * 32, settings=RingSettings())
    rng, box, embedding = np.random.default_rng(1), Box(0, 0, 50, 100), np.ones(1, np.float32)
    for seq in range(1, number + 1):
        crop = rng.integers(0, 256, (256, 128, 3), dtype=np.uint8)
        ring.keep([NumberedCrop(seq, Observation("cam1", 1, seq, box, 0.5, embedding, False), crop)])
    return ring


async def collect(ring: CropRing, keeper: Keeper, wanted: list[WantedCrop]):
    async def submit(keep):
        return keep()

    spools = {SPOOL_KEY: Spool("edge1", "spool-1")}
    exchange = CropExchange(keeper, CropSettings(), spools=lambda: spools, submit=submit, clock_us=lambda: 10**15)
    servicer, server = CropServicer(exchange, hello_timeout_s=LONG_S), grpc.aio.server()
    crops_pb2_grpc.add_CropServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    stop = threading.Event()
    answers = CropAnswers(f"127.0.0.1:{port}", "edge1", "spool-1", ring, daily_limit_bytes=1 << 30)
    thread = threading.Thread(target=answers.run, args=(stop,))
    thread.start()
    try:
        return await exchange.collect(wanted, deadline_s=LONG_S), exchange.lies.counts
    finally:
        stop.set()
        await asyncio.to_thread(thread.join, LONG_S)
        servicer.stop()
        await server.stop(0)


def test_what_the_server_picks_comes_out_of_the_ring(tmp_path):
    ring, keeper = fill(tmp_path, 150), Keeper()
    wanted = [WantedCrop(1, SPOOL_KEY, seq, seq) for seq in range(1, 161)]
    report, lies = asyncio.run(asyncio.wait_for(collect(ring, keeper, wanted), LONG_S))
    assert (report.num_received, dict(report.reasons), lies) == (150, {"unknown": 10}, {})
    assert all(jpeg == ring.find(name.seq).jpeg for name, jpeg in keeper.jpegs.items())
    ring.close()
