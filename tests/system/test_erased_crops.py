"""Promise: erasing a person removes their crops everywhere, in the rings of the edges too."""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from processes import EdgeProcess, ServerProcess, wait_until

from edge.crop_answers import CropAnswers
from edge.ring import CropRing, KeptCrop, RingSettings
from edge.ring_key import secret_beside
from server.identity_client import IdentityClient

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]


def seqs_of_persons(data: Path) -> dict[int, list[int]]:
    """Sequence numbers of the observations of each person, as the records have them; the largest person first."""
    query = "SELECT person_id, seq FROM observations JOIN tracklets USING (tracklet_key)"
    with sqlite3.connect(data / "records.db") as records:
        rows = records.execute(query).fetchall()
    order = Counter(person_id for person_id, _ in rows).most_common()
    return {person_id: [seq for owner, seq in rows if owner == person_id] for person_id, _ in order}


def num_to_forget(data: Path) -> int:
    with sqlite3.connect(data / "records.db") as records:
        return int(records.execute("SELECT count(*) FROM crop_erasures").fetchone()[0])


def open_ring(server: ServerProcess, spool: Path) -> tuple[CropRing, str]:
    """The ring that an edge left, and the spool that it belongs to."""
    with sqlite3.connect(server.data / "records.db") as records:
        (spool_id,) = records.execute("SELECT spool_id FROM spools").fetchone()
    path = RingSettings().path_beside(spool)
    secret = secret_beside(path.with_name(f"{path.name}.key"))
    return CropRing(path, spool_id=spool_id, secret=lambda: secret, settings=RingSettings()), spool_id


@contextmanager
def answering(ring: CropRing, server: ServerProcess, spool_id: str) -> Iterator[None]:
    """The edge answers for its ring."""
    stop = threading.Event()
    answers = CropAnswers(server.address, "e1", spool_id, ring, daily_limit_bytes=0)
    thread = threading.Thread(target=answers.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)


def kept(ring: CropRing, seqs: list[int]) -> list[int]:
    return [seq for seq in seqs if isinstance(ring.find(seq), KeptCrop)]


def test_an_erased_person_has_no_crop_in_the_ring(server: ServerProcess, start_edge: Callable[[], EdgeProcess]) -> None:
    """One is erased while the edge is away and the server starts anew, one while it is connected; the others stay."""
    edge = start_edge()
    edge.report()
    seqs = seqs_of_persons(server.data)
    away, present, *others = seqs
    ring, spool_id = open_ring(server, edge.spool)
    assert all(kept(ring, seqs[person_id]) == seqs[person_id] for person_id in seqs)
    with IdentityClient(server.address) as client:
        client.erase(away)
    server.kill()
    server.start()
    with answering(ring, server, spool_id):
        wait_until(lambda: not kept(ring, seqs[away]), "the crops of the first are gone")
        with IdentityClient(server.address) as client:
            client.erase(present)
        wait_until(lambda: not kept(ring, seqs[present]), "the crops of the second are gone")
        wait_until(lambda: num_to_forget(server.data) == 0, "the server knows")
    assert others
    assert all(kept(ring, seqs[person_id]) == seqs[person_id] for person_id in others)
    ring.close()
