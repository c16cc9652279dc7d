"""What edges, disks and other programs do to a running server: a clear error, nothing lost, nobody else harmed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import grpc
from fakes_disk import small_disk
from fakes_running import TalkingEdge, running_server
from fakes_stream import batch_message, hello, observation

from reid.release import Release
from server.client import SearchClient
from server.settings import StreamSettings
from server.storage.database import StorageSettings

SILENT_EDGE = """
import sys, time
from fakes_disk import small_disk
from fakes_running import TalkingEdge
edge = TalkingEdge(sys.argv[1])
edge.welcome()
print("welcomed", flush=True)
time.sleep(60)
"""


@contextmanager
def silent_edge(address: str) -> Iterator[subprocess.Popen[str]]:
    """edge1, welcomed, in a process of its own."""
    command = [sys.executable, "-c", SILENT_EDGE, address]
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    with closing(process.stdout):
        try:
            assert process.stdout.readline() == "welcomed\n"
            yield process
        finally:
            process.kill()
            process.wait()


def connected(address: str) -> set[str]:
    with SearchClient(address) as client:
        return {edge.edge_id for edge in client.status().edges if edge.is_connected}


def wait_until(is_done: Callable[[], bool], *, within_s: float = 20) -> None:
    end_s = time.monotonic() + within_s
    while not is_done():
        assert time.monotonic() < end_s
        time.sleep(0.1)


def test_a_peer_that_freezes_without_a_word_is_let_go_and_others_go_on(tmp_path: Path, tiny_release: Release) -> None:
    attentive = StreamSettings(keepalive_s=0.6)
    with (
        running_server(tmp_path / "data", tiny_release, streams=attentive) as address,
        silent_edge(address) as frozen,
        TalkingEdge(address, hello("edge2")) as other,
    ):
        other.welcome()
        time.sleep(2)  # quiet peers that are alive stay
        assert connected(address) == {"edge1", "edge2"}
        frozen.send_signal(signal.SIGSTOP)
        other.send(batch_message(1, observation()))
        assert other.acknowledgement().acked_seq == 1
        wait_until(lambda: connected(address) == {"edge2"})
        other.send(batch_message(2, observation(time_s=1)))
        assert other.acknowledgement().acked_seq == 2


def test_a_message_beyond_the_limit_ends_its_stream_alone(tmp_path: Path, tiny_release: Release) -> None:
    huge = batch_message(1, observation())
    huge.observations[0].embedding = bytes(9 << 20)
    with (
        running_server(tmp_path / "data", tiny_release) as address,
        TalkingEdge(address) as hostile,
        TalkingEdge(address, hello("edge2")) as other,
    ):
        other.welcome()
        hostile.welcome()
        hostile.send(huge)
        code, details = hostile.ending()
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "larger than max" in details
        other.send(batch_message(1, observation()))
        assert other.acknowledgement().acked_seq == 1


def test_a_locked_database_is_waited_for_then_named_then_used_again(tmp_path: Path, tiny_release: Release) -> None:
    storage = StorageSettings(busy_timeout_s=0.5)
    with running_server(tmp_path / "data", tiny_release, storage=storage) as address:
        with closing(sqlite3.connect(tmp_path / "data" / "records.db", isolation_level=None)) as blocker:
            blocker.execute("BEGIN IMMEDIATE")
            with TalkingEdge(address) as edge:
                edge.welcome()
                begin_s = time.monotonic()
                edge.send(batch_message(1, observation()))
                code, details = edge.ending()
            assert time.monotonic() - begin_s > 0.4
        assert code is grpc.StatusCode.UNAVAILABLE
        assert "database is locked" in details
        assert_resent(address)


def test_a_full_disk_is_named_and_used_again_when_there_is_room(tmp_path: Path, tiny_release: Release) -> None:
    with small_disk(tmp_path / "disk") as disk, running_server(disk, tiny_release) as address:
        fill(disk / "filler")
        with TalkingEdge(address) as edge:
            edge.welcome()
            for seq in range(1, 65, 8):
                edge.send(batch_message(seq, *(observation(tracklet_id=seq + i, time_s=seq) for i in range(8))))
            code, details = edge.ending()
        assert code is grpc.StatusCode.UNAVAILABLE
        assert "full" in details
        (disk / "filler").unlink()
        assert_resent(address)


def assert_resent(address: str) -> None:
    """What was not acknowledged can be sent again, and is stored once."""
    with TalkingEdge(address) as edge:
        acked_seq = edge.welcome().acked_seq
        edge.send(batch_message(acked_seq + 1, observation()))
        assert edge.acknowledgement().acked_seq == acked_seq + 1
    with SearchClient(address) as client:
        assert client.status().totals.num_observations == acked_seq + 1


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
