"""Hands serving over from one release to another, while edges send and operators search.

The new release's space becomes known first (`add_release`, before a roll-out begins). A handover then maps memory and
fills a new gallery beside the writer, and exchanges them, threshold and photo network between two of its steps. Which
space is served is made durable at that moment. Whatever fails, the old release is served on; a restart takes what is
durable, since records keep all embeddings as they came.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Protocol, TypeVar

import structlog

from reid.embedder import Embedder
from reid.errors import ReleaseError
from reid.release import Release
from server.errors import GalleryError
from server.gallery.gallery import Gallery
from server.ingest import Ingest
from server.served import Served, Serving, served_space
from server.space_move import SpaceMove
from server.spaces import ServedSpace

logger = structlog.get_logger(__name__)

T = TypeVar("T")


class Submit(Protocol):
    """Runs something in the writer's thread."""

    def __call__(self, operation: Callable[[], T]) -> Awaitable[T]:
        """Becomes what the operation returns or raises."""


class Handover:
    """Changes what is served, one change at a time.

    Args:
        served: Where everybody looks up what is served.
        ingest: Moves memory.
        submit: Runs something in the writer's thread.
        open_embedder: Gives a release's network.
        open_gallery: Gives an empty gallery for a space.
        remember: Makes durable which space is served.
    """

    def __init__(
        self,
        served: Served,
        ingest: Ingest,
        submit: Submit,
        *,
        open_embedder: Callable[[Release], Embedder],
        open_gallery: Callable[[ServedSpace], Gallery],
        remember: Callable[[str], None],
    ) -> None:
        self._served = served
        self._ingest = ingest
        self._submit = submit
        self._open_embedder = open_embedder
        self._open_gallery = open_gallery
        self._remember = remember
        self._turn = asyncio.Lock()

    async def add_release(self, release: Release) -> None:
        """Take embeddings of a release from now on.

        Raises:
            ReleaseError: No alignment joins its space to the served one, or it has another dimension.
            StoppingError: The server is stopping.
        """
        await self._submit(partial(self._know, release))

    async def move_to(self, release: Release) -> None:
        """Serve a release from now on; nothing happens if it is the one that is served.

        Raises:
            ReleaseError: No alignment joins its space to the served one, or its network cannot be run.
            StorageError: Records or gallery cannot be reached.
            StoppingError: The server is stopping.
        """
        async with self._turn:
            if release.manifest.space != self._served.now.spaces.space:
                await self.add_release(release)
                await self._move(release)

    async def _move(self, release: Release) -> None:
        served = served_space(release)
        embedder = await asyncio.to_thread(self._open_embedder, release)
        gallery = await asyncio.to_thread(self._open_gallery, served)
        before = self._served.now
        try:
            move = await self._submit(partial(self._ingest.begin_move, served, gallery))
            await asyncio.to_thread(move.prepare)
            await self._submit(partial(self._finish, move, release, embedder))
        except Exception:  # not when cancelled: then the writer may still take it
            is_served = self._served.now.gallery is gallery
            await asyncio.to_thread(_drop, before.gallery if is_served else gallery)
            raise
        await asyncio.to_thread(_drop, before.gallery)
        logger.info("serves another release", release=str(release.ref), before=str(before.release.ref))

    def _know(self, release: Release) -> None:
        """In the writer's thread."""
        spaces, manifest = self._ingest.spaces, release.manifest
        if manifest.dim != spaces.served.dim:
            raise ReleaseError(
                f"release {release.ref} has embeddings of dim {manifest.dim}, this server serves dim "
                f"{spaces.served.dim}: adapt a release of the same architecture"
            )
        if spaces.knows(manifest.space):
            return
        if manifest.parent is not None and release.alignment is not None:
            alignments = spaces.alignments.with_link(manifest.space, manifest.parent, release.alignment)
            if alignments.connects(manifest.space, spaces.space):
                self._ingest.know(alignments)
                self._served.now = replace(self._served.now, spaces=self._ingest.spaces)
                return
        raise ReleaseError(
            f"release {release.ref} cannot be served beside {spaces.space!r}: no alignment leads from its parent "
            f"{manifest.parent!r} to a release that this server knows; adapt it from one"
        )

    def _finish(self, move: SpaceMove, release: Release, embedder: Embedder) -> None:
        """In the writer's thread."""
        space = move.after.space
        try:
            self._ingest.finish_move(move, partial(self._remember, space))
        finally:
            if self._ingest.spaces.space == space:  # even if memory must be read anew there
                self._served.now = Serving(
                    release=release, embedder=embedder, spaces=self._ingest.spaces, gallery=move.gallery
                )


def _drop(gallery: Gallery) -> None:
    try:
        gallery.drop()
    except GalleryError as error:
        logger.warning("a gallery that is no longer searched is left behind", error=str(error))
