"""A small site on the disk, as a server would have left it: people, crops, runs, releases, and who may come in."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from seeded_people import SeededPeople, Sight, frame_with_two, see_people, to_jpeg
from seeded_refresh import TRAINING_PROGRAM, seed_refresh
from sqlalchemy import select

from reid.credentials import Credentials, write_credentials
from reid.preprocess import resize_crop
from reid.release import Release
from server.api.closed_loop import CROPS_FOLDER
from server.crops.store import ArrivedCrop, CropStore
from server.releases.repository import ReleaseRepository
from server.security.authority import Authority
from server.settings import ServerSettings
from server.site import Site, now_us, open_site
from server.storage.schema import observations, spools
from server.types import CropName

_CONFIG = """\
[adaptation]
command = "{{python}} {program} {{snapshot}} {{init}} {{out}}"

[adaptation.job]
poll_s = 0.2
grace_s = 1
"""
_AGO_S = 600.0
_CROPS_OF_TRACKLET = 3
"""So many crops of each tracklet are on the server; the others would have to be asked for."""


@dataclass(frozen=True, kw_only=True)
class SeededSite:
    """Where everything lies.

    Attributes:
        data: The server's folder.
        config: Its settings.
        operator: Who may change things.
        viewer: Who may only look.
        edge_bundle: File for the edge of camera c4.
        photo: A crop of somebody whom all seeded cameras saw.
        street: A frame with two people.
        person_id: Who was seen by most cameras, and most often.
        released: Space of a release beside the served one.
    """

    data: Path
    config: Path
    operator: Credentials
    viewer: Credentials
    edge_bundle: Path
    photo: Path
    street: Path
    person_id: int
    released: str


def seed_site(folder: Path, release: Release) -> SeededSite:
    """Make a site; takes some seconds, mostly to draw and embed people."""
    data, program = folder / "server", folder / "training.py"
    operator, viewer, edge = _let_in(data)
    program.write_text(TRAINING_PROGRAM)
    config = folder / "server.toml"
    config.write_text(_CONFIG.format(program=program))
    bundle = folder / "edge-c4.bundle"
    write_credentials(bundle, edge)
    settings = ServerSettings(data=data, release=release.folder)
    with open_site(settings, release) as site:
        people = see_people(site.served.now.embedder)
        store = CropStore(site.engine, data / CROPS_FOLDER, quota_bytes=1 << 30, clock_us=now_us, lease=site.lease)
        _seed_people(site, store, people, start_us=now_us() - round(_AGO_S * 1e6))
        released = seed_refresh(site, data, folder / "releases", now_us=now_us())
        person_id = _most_seen(site)
    photo, street = folder / "photo.jpg", folder / "street.jpg"
    photo.write_bytes(people.jpeg_of(people.wanderer(), "c1"))
    street.write_bytes(to_jpeg(frame_with_two()))
    return SeededSite(
        data=data,
        config=config,
        operator=operator,
        viewer=viewer,
        edge_bundle=bundle,
        photo=photo,
        street=street,
        person_id=person_id,
        released=released,
    )


def _let_in(data: Path) -> tuple[Credentials, Credentials, Credentials]:
    """Certificates for an operator, a viewer and an edge."""
    now = datetime.fromtimestamp(time.time(), timezone.utc)
    data.mkdir(parents=True)
    authority = Authority(data)
    authority.make(["127.0.0.1", "localhost"], site="test", ca_days=30, server_days=20, now=now)
    ReleaseRepository(data).make()
    server = "127.0.0.1:7070"
    return (
        authority.enroll("operator", "ann", (), server=server, days=5, now=now),
        authority.enroll("viewer", "vic", (), server=server, days=5, now=now),
        authority.enroll("edge", "edge-c4", ("c4",), server=server, days=5, now=now),
    )


def _seed_people(site: Site, store: CropStore, people: SeededPeople, *, start_us: int) -> None:
    """Take in what was seen, and some crops of each tracklet."""
    sights: dict[tuple[str, int], Sight] = {}
    for frame in people.batches(space=site.release.manifest.space, start_us=start_us):
        site.ingest.step([batch for _, batch in frame])
        sights.update({(batch.spool.edge_id, batch.last_seq): sight for sight, batch in frame})
    for edge_id, arrived in _some_crops(site, sights).items():
        store.write_files(arrived)
        num_bytes = sum(len(crop.jpeg) for crop in arrived)
        store.keep(edge_id, arrived, num_crops=len(arrived), num_bytes=num_bytes)


def _most_seen(site: Site) -> int:
    """Who was seen by most cameras, and most often."""
    persons = site.summaries.list_persons(after_person_id=0, limit=100)
    return max(persons, key=lambda person: (len(person.camids), person.num_observations)).person_id


def _some_crops(site: Site, sights: Mapping[tuple[str, int], Sight]) -> dict[str, list[ArrivedCrop]]:
    """The first crops of each tracklet, by edge_id."""
    query = select(spools.c.edge_id, observations).join(spools, spools.c.spool_key == observations.c.spool_key)
    num_kept: Counter[int] = Counter()
    crops: dict[str, list[ArrivedCrop]] = {}
    with site.engine.connect() as connection:
        for row in connection.execute(query.order_by(observations.c.spool_key, observations.c.seq)):
            num_kept[row.tracklet_key] += 1
            if num_kept[row.tracklet_key] <= _CROPS_OF_TRACKLET:
                jpeg = to_jpeg(resize_crop(sights[row.edge_id, row.seq].crop))
                name = CropName(row.spool_key, row.seq)
                crops.setdefault(row.edge_id, []).append(ArrivedCrop(name, row.tracklet_key, row.time_us, jpeg))
    return crops
