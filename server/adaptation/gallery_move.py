"""After a roll-out: crops at hand are embedded by the new release, then memory and gallery move to its space.

It can be done again from the beginning at any time. Without crops, or when embedding them fails, the gallery moves by
alignment alone.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import structlog

from reid.files import write_json_atomic
from reid.release import Release
from reid.types import FloatArray
from server.adaptation.embedding import read_means
from server.adaptation.job import Job
from server.adaptation.loop import Submit
from server.adaptation.settings import JobSettings
from server.crops.store import StoredCrop
from server.errors import AdaptationError

logger = structlog.get_logger(__name__)

_MEANS_AT_A_TIME = 500
"""Stored between two steps of the writer."""


class GalleryMove:
    """Moves the gallery.

    Args:
        crops: Crops at hand of tracklets that no edge embedded in a space; called in a thread.
        put_means: Stores embeddings by tracklet_key, of a space; in the writer's thread.
        move: Brings memory and gallery to a release.
        submit: Runs something in the writer's thread.
        folder: For what the process needs and makes.
        settings: Limits of the process.
    """

    def __init__(
        self,
        *,
        crops: Callable[[str], Sequence[StoredCrop]],
        put_means: Callable[[str, Mapping[int, FloatArray]], int],
        move: Callable[[Release], Awaitable[None]],
        submit: Submit,
        folder: Path,
        settings: JobSettings,
    ) -> None:
        self._crops = crops
        self._put_means = put_means
        self._move = move
        self._submit = submit
        self._folder = folder
        self._settings = settings

    async def to(self, release: Release) -> None:
        """Move to a release.

        Raises:
            OspreyError: Nothing has moved.
        """
        logger.info("the gallery moves", to=str(release.ref))
        num_embedded = 0
        try:
            num_embedded = await self._embed_again(release)
        except (AdaptationError, OSError, ValueError) as error:
            logger.warning("not all crops were embedded again, alignment moves the rest", error=str(error))
        await self._move(release)
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        logger.info("the gallery has moved", to=str(release.ref), embedded_again=num_embedded)

    async def _embed_again(self, release: Release) -> int:
        """Store means of the tracklets whose crops are at hand; gives how many.

        Raises:
            AdaptationError: The process failed.
            OSError: Its outcome cannot be read.
            ValueError: It is damaged.
        """
        space, job = release.manifest.space, Job(self._folder / release.manifest.space, self._settings)
        out = self._folder / f"{space}.npz"
        if not await asyncio.to_thread(self._begin, job, release, out):
            return 0
        while await asyncio.to_thread(job.state) == "running":
            await asyncio.sleep(self._settings.poll_s)
        if job.state() != "ended":
            raise AdaptationError("the process that embeds crops is gone")
        if (end := job.end()).code:
            raise AdaptationError(end.explain("embedding"))
        num_embedded = 0
        for means in read_means(out, batch=_MEANS_AT_A_TIME):
            await self._submit(partial(self._put_means, space, means))
            num_embedded += len(means)
        return num_embedded

    def _begin(self, job: Job, release: Release, out: Path) -> bool:
        """Start the process, unless one of the server before still runs; false if there are no crops."""
        if job.state() == "running":
            return True
        shutil.rmtree(self._folder, ignore_errors=True)
        crops = self._crops(release.manifest.space)
        if not crops:
            return False
        job.folder.mkdir(mode=0o700, parents=True)
        listing = job.folder / "crops.json"
        write_json_atomic(listing, [[crop.tracklet, str(crop.path.resolve()), crop.quality] for crop in crops])
        words = [str(path) for path in (release.folder.resolve(), listing.resolve(), out.resolve())]
        job.start([sys.executable, "-m", "server.adaptation.embedding", *words])
        return True
