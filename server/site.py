"""What a server holds while it runs, opened and closed as one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Engine

from reid.embedder import OnnxEmbedder
from reid.release import Release
from server.errors import StorageError
from server.gallery.factory import open_gallery
from server.gallery.gallery import Gallery
from server.handover import Handover
from server.ingest import Ingest
from server.releases.registry import RELEASES_FOLDER, ReleaseRegistry
from server.search import PersonSearch
from server.served import Served, Serving, served_space
from server.settings import ServerSettings
from server.spaces import ServedSpace
from server.storage.database import lock_folder, open_database
from server.storage.lease import Lease, holder_name
from server.storage.members import SqlMembers
from server.storage.records import Summaries
from server.storage.sql import SqlRecords
from server.storage.summaries import SqlSummaries
from server.writer import Writer

_VIEWS_PER_PERSON = 64
"""Views of each candidate that a search compares with."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """The parts of a running server.

    Attributes:
        engine: The database behind all that keeps something.
        served: What is served now, for everybody who asks.
        writer: Not running yet when the site is opened.
    """

    engine: Engine
    lease: Lease
    records: SqlRecords
    summaries: Summaries
    members: SqlMembers
    registry: ReleaseRegistry
    served: Served
    ingest: Ingest
    writer: Writer
    search: PersonSearch
    handover: Handover

    @property
    def release(self) -> Release:
        """The one served now."""
        return self.served.now.release

    async def add_release(self, release: Release) -> None:
        """Take embeddings of a release from now on; see `Handover.add_release`."""
        await self.handover.add_release(release)

    async def move_to(self, release: Release) -> None:
        """Serve a release from now on, after a restart too; see `Handover.move_to`."""
        await self.handover.move_to(release)


@contextlib.contextmanager
def open_site(settings: ServerSettings, release: Release) -> Iterator[Site]:
    """Open the records, alone, and restore memory from them.

    Args:
        settings: Checked settings.
        release: The configured one, which a new site serves; another one was rolled out since, perhaps.

    Raises:
        StorageError: The data folder is in use, or the records cannot be opened.
        ReleaseError: The release that is served cannot be run.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(lock_folder(settings.data))
        engine = open_database(settings.storage, data=settings.data)
        stack.callback(engine.dispose)
        lease = Lease(engine, holder=holder_name(settings.data), duration_s=settings.storage.lease_s, clock_us=now_us)
        stack.callback(_give_back, lease)
        lease.take()
        registry = ReleaseRegistry(engine, settings.data / RELEASES_FOLDER, clock_us=now_us, lease=lease)
        site = _build(settings, registry.open_served(release), engine, lease, registry)
        stack.callback(lambda: site.served.now.gallery.close())
        site.ingest.restore()
        yield site


def now_us() -> int:
    """Microseconds since the Unix epoch."""
    return time.time_ns() // 1000


def _build(settings: ServerSettings, release: Release, engine: Engine, lease: Lease, registry: ReleaseRegistry) -> Site:
    records, summaries = SqlRecords(engine, lease=lease), SqlSummaries(engine)
    open_embedder = partial(OnnxEmbedder, num_threads=settings.embedder_threads)
    gallery_of = partial(_open_gallery, settings)
    embedder, gallery = open_embedder(release), gallery_of(served_space(release))
    ingest = Ingest(
        records,
        gallery,
        served=served_space(release),
        matching=settings.matching,
        clock_us=now_us,
        alignments=registry.alignments(),
    )
    served = Served(Serving(release=release, embedder=embedder, spaces=ingest.spaces, gallery=gallery))
    writer = Writer(ingest, settings.writer)
    read_views = partial(summaries.read_views, most_per_person=_VIEWS_PER_PERSON)
    return Site(
        engine=engine,
        lease=lease,
        records=records,
        summaries=summaries,
        members=SqlMembers(engine, spaces=lambda: served.spaces),
        registry=registry,
        served=served,
        ingest=ingest,
        writer=writer,
        search=PersonSearch(served, read_views, ingest.is_confirmed),
        handover=Handover(
            served,
            ingest,
            writer.submit_operation,
            open_embedder=open_embedder,
            open_gallery=gallery_of,
            remember=registry.set_served,
        ),
    )


def _open_gallery(settings: ServerSettings, served: ServedSpace) -> Gallery:
    return open_gallery(settings.gallery, dim=served.dim, space=served.space)


def _give_back(lease: Lease) -> None:
    with contextlib.suppress(StorageError):  # it ends by itself
        lease.release()
