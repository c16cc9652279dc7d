"""Releases by the server, verified by The Update Framework before anything of them is used.

What is trusted begins with the first root of the site, which came with the bundle, and goes on from root to root. From
there on nothing that the server or the line says is believed without a signature: whether a release exists, what its
files are, and whether this is the newest word. docs/updates.md: which attack meets what.

    metadata/        what was verified last: nothing older is taken afterwards
    downloads/SPACE  files of a release, whole and verified
    partial/SPACE    files that are not whole yet
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import quote

import structlog
from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
    SlowRetrievalError,
    UnsignedMetadataError,
)
from tuf.api.metadata import TargetFile
from tuf.ngclient.config import UpdaterConfig
from tuf.ngclient.updater import Updater

from edge.errors import UpdateDelayedError, UpdateError
from edge.releases.fetcher import METADATA_URL, TARGETS_URL, DownloadCall, DownloadSettings, GrpcFetcher
from reid.files import sync_folder
from reid.release import FILES, MANIFEST_FILE, MODEL_FILES, load_release
from reid.types import ReleaseRef

logger = structlog.get_logger(__name__)

NO_ROOT = (
    "this edge takes no updates by the server: it has no root of the site's signatures; renew its bundle with "
    "'osprey-server renew edge NAME --out FILE', or name the file as fleet.root"
)
_REQUIRED_FILES = (MANIFEST_FILE, *FILES)
_RELEASE_FILES = (*_REQUIRED_FILES, *(name for name in MODEL_FILES.values() if name not in FILES))
"""All that is ever downloaded: a repository that signs more is not asked for it."""
_MAX_ROOT_ROTATIONS = 64
_SLOW_ATTEMPTS = 3
_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (
        ExpiredMetadataError,
        "its signatures are over: newer ones are held back, no longer made, or this clock is wrong ({now})",
    ),
    (UnsignedMetadataError, "not signed by the keys of this site"),
    (BadVersionNumberError, "older than what this edge has seen already"),
    (LengthOrHashMismatchError, "altered: not the file that was signed"),
    (DownloadLengthMismatchError, "endless: longer than what was signed"),
    (DownloadHTTPError, "the server does not give it"),
    (RepositoryError, "the signed files do not belong together"),
)


class Updates:
    """Downloads releases of one site. One thread.

    Args:
        folder: See the top of the file; made when needed.
        read_root: The first root of the site, as JSON, or an empty text; asked at each download.
        open_line: To the server, once for each download.
        settings: The pace.

    Attributes:
        num_bytes: Received so far, metadata included.
    """

    def __init__(
        self,
        folder: Path,
        read_root: Callable[[], str],
        open_line: Callable[[], AbstractContextManager[DownloadCall]],
        settings: DownloadSettings | None = None,
    ) -> None:
        self.num_bytes = 0
        self._folder = folder
        self._read_root = read_root
        self._open_line = open_line
        self._settings = settings or DownloadSettings()
        self._num_slow = 0

    def fetch(self, ref: ReleaseRef, *, is_wanted: Callable[[], bool] = lambda: True) -> Path:
        """Download a release, or what is still missing of it.

        Args:
            ref: What it must be.
            is_wanted: Asked all the time; it ends within a moment when it no longer is.

        Returns:
            Its folder: signed, whole, and named as was asked.

        Raises:
            UpdateDelayedError: The server cannot be reached, or it is no longer wanted: again later.
            UpdateError: It is not signed, altered, older, held back, not what was asked for, or comes too slowly.
            ReleaseError: What was signed is no release.
        """
        root = self._read_root()
        if not root:
            raise UpdateError(NO_ROOT)
        with self._open_line() as download:
            return self._fetch_over(download, ref, root.encode(), is_wanted)

    def clear(self) -> None:
        """Delete what was downloaded; what was verified last stays known."""
        for folder in (self._downloads, self._partial):
            shutil.rmtree(folder, ignore_errors=True)

    def _fetch_over(self, download: DownloadCall, ref: ReleaseRef, root: bytes, is_wanted: Callable[[], bool]) -> Path:
        partial = self._partial / _folder_name(ref)
        fetcher = GrpcFetcher(download, partial, self._settings, is_wanted=is_wanted)
        try:
            folder = self._fetch(ref, root, fetcher)
        except (DownloadError, RepositoryError) as error:
            raise self._judged(ref, error) from None
        except OSError as error:
            raise UpdateError(f"{ref}: cannot be downloaded to {self._folder}: {error.strerror}; make room") from None
        finally:
            self.num_bytes += fetcher.num_bytes
        self._num_slow = 0
        return folder

    @property
    def _metadata(self) -> Path:
        return self._folder / "metadata"

    @property
    def _downloads(self) -> Path:
        return self._folder / "downloads"

    @property
    def _partial(self) -> Path:
        return self._folder / "partial"

    def _fetch(self, ref: ReleaseRef, root: bytes, fetcher: GrpcFetcher) -> Path:
        folder = self._downloads / _folder_name(ref)
        self._make_folders(folder)
        updater = self._refreshed(root, fetcher)
        targets = self._targets(updater, ref)
        self._check_room(ref, targets)
        for name, target in targets.items():
            self._bring(updater, target, folder / name)
        release = load_release(folder)
        if release.ref != ref:
            raise UpdateError(f"asked for {ref}, but what is signed under that name is {release.ref}: publish it again")
        logger.info("release downloaded", release=str(ref), bytes=fetcher.num_bytes)
        return folder

    def _make_folders(self, folder: Path) -> None:
        self._metadata.mkdir(parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in self._metadata.glob("tmp*"):  # of a process that was killed
            leftover.unlink()
        for other in (*self._downloads.iterdir(), *(self._partial.iterdir() if self._partial.is_dir() else ())):
            if other.name != folder.name:
                shutil.rmtree(other, ignore_errors=True)

    def _refreshed(self, root: bytes, fetcher: GrpcFetcher) -> Updater:
        """The newest word of the site, durable before it is used: a power loss must not forget what was seen."""
        try:
            updater = Updater(
                metadata_dir=str(self._metadata),
                metadata_base_url=METADATA_URL,
                target_base_url=TARGETS_URL,
                fetcher=fetcher,
                config=UpdaterConfig(max_root_rotations=_MAX_ROOT_ROTATIONS),
                bootstrap=root,
            )
            updater.refresh()
        finally:
            _sync(self._metadata)
        return updater

    def _targets(self, updater: Updater, ref: ReleaseRef) -> dict[str, TargetFile]:
        found = {name: updater.get_targetinfo(f"{ref.space}/{name}") for name in _RELEASE_FILES}
        missing = [name for name in _REQUIRED_FILES if found[name] is None]
        if missing:
            raise UpdateError(
                f"{ref} is not among what this site has signed ({', '.join(missing)} missing): publish it, or ask for "
                "one that 'osprey-server release list' shows"
            )
        return {name: target for name, target in found.items() if target is not None}

    def _check_room(self, ref: ReleaseRef, targets: dict[str, TargetFile]) -> None:
        needed = sum(target.length for target in targets.values())
        free = shutil.disk_usage(self._folder).free
        if needed > free:
            raise UpdateError(f"{ref} has {needed >> 20} MiB, and {self._folder} has room for {free >> 20}: make room")

    def _bring(self, updater: Updater, target: TargetFile, path: Path) -> None:
        """Download a file, unless it is there; once more if a part of it, left from before, had suffered."""
        if updater.find_cached_target(target, str(path)) is not None:
            return
        try:
            updater.download_target(target, str(path))
        except LengthOrHashMismatchError:
            updater.download_target(target, str(path))

    def _judged(self, ref: ReleaseRef, error: Exception) -> UpdateError:
        """Whether another attempt may help, and what to say."""
        if isinstance(error, SlowRetrievalError):
            self._num_slow += 1
            kind = UpdateError if self._num_slow % _SLOW_ATTEMPTS == 0 else UpdateDelayedError
            return kind(f"{ref}: {error}")
        words = next((words for kind, words in _WORDS if isinstance(error, kind)), "")
        if not words:
            return UpdateDelayedError(f"{ref}: {error}")
        return UpdateError(f"{ref}: {words.format(now=_now())}: {error}")


def _folder_name(ref: ReleaseRef) -> str:
    """A name that no space can make anything else of than one folder."""
    return f"of-{quote(ref.space, safe='')}"[:200]


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def _sync(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            sync_folder(path)
        elif path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
