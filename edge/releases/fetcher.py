"""Brings files of the signed repository over the server's gRPC channel: no slower, no longer and no more than agreed.

Nothing here is trusted and nothing is judged: that is python-tuf's work. What it cannot know is kept here: how slow a
server may be, how much of the line a download may take, and where a download that broke off goes on.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import grpc
from pydantic import Field
from tuf.api.exceptions import DownloadError, DownloadHTTPError, DownloadLengthMismatchError, SlowRetrievalError
from tuf.ngclient.fetcher import FetcherInterface

from protos import fleet_pb2, fleet_pb2_grpc
from reid.channel import open_channel
from reid.credentials import Credentials
from reid.settings import Settings

METADATA_URL = "metadata/"
TARGETS_URL = "targets/"

_SPAN_BYTES = 256 << 10
"""The pace is judged, and the line given free, after so much."""
_CALL_TIMEOUT_S = 3600.0
_WATCH_S = 0.1
_NOT_FOUND, _REFUSED = 404, 400
_FINAL_CODES = frozenset(
    {
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)
_CHANNEL_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    # Without these gRPC lets the server send megabytes ahead of what is read, and a pause gives the line no rest.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 1 << 16),
)


class Pieces(Protocol):
    """A file that is being read."""

    def __iter__(self) -> Iterator[bytes]:
        """Its pieces.

        Raises:
            grpc.RpcError: The server refuses it, or the line broke.
        """

    def cancel(self) -> object:
        """End it; from any thread."""


DownloadCall = Callable[[str, int], Pieces]
"""Begins to read the file of a path in the repository, from an offset in bytes on."""


class DownloadSettings(Settings):
    """The pace of downloads."""

    least_kib_s: float = Field(default=16.0, gt=0)
    """A server that sends less than this over a quarter of a MiB is too slow: the download ends there, KiB/s."""
    share: float = Field(default=0.5, gt=0, le=1)
    """Share of the time in which a download uses the line; in the rest it leaves it to the uplink."""

    @property
    def patience_s(self) -> float:
        """How long one span may take."""
        return _SPAN_BYTES / 1024 / self.least_kib_s


class UnwantedError(DownloadError):
    """The download was called off."""


class GrpcFetcher(FetcherInterface):
    """Fetches for one update.

    Args:
        download: Begins to read a file.
        partial: Folder for targets that are not whole yet; made when needed.
        settings: The pace.
        is_wanted: Asked all the time; a download ends within a moment when it no longer is.

    Attributes:
        num_bytes: Received so far.
    """

    def __init__(
        self, download: DownloadCall, partial: Path, settings: DownloadSettings, *, is_wanted: Callable[[], bool]
    ) -> None:
        self.num_bytes = 0
        self._download = download
        self._partial = partial
        self._settings = settings
        self._is_wanted = is_wanted

    @contextmanager
    def download_file(self, url: str, max_length: int) -> Iterator[IO[Any]]:
        """See `FetcherInterface`; a target goes on where its last download broke off."""
        whole = self._resumed if url.startswith(TARGETS_URL) else super().download_file
        with whole(url, max_length) as file:
            yield file

    @contextmanager
    def _resumed(self, url: str, max_length: int) -> Iterator[IO[Any]]:
        self._partial.mkdir(parents=True, exist_ok=True)
        path = self._partial / hashlib.sha256(url.encode()).hexdigest()
        with path.open("a+b") as file:
            if file.tell() < max_length:
                self._append(file, url, max_length)
            file.seek(0)
            try:
                yield file
            finally:
                path.unlink()  # it has a better place now, or is wrong

    def _append(self, file: IO[bytes], url: str, max_length: int) -> None:
        for piece in self._pieces(url, file.tell()):
            file.write(piece)
            if file.tell() > max_length:
                file.truncate(0)
                raise DownloadLengthMismatchError(f"{url} goes on after its {max_length} bytes")

    def _fetch(self, url: str) -> Iterator[bytes]:
        return self._pieces(url, 0)

    def _pieces(self, url: str, offset: int) -> Iterator[bytes]:
        """The file from an offset on.

        Raises:
            DownloadHTTPError: It is not there, or not for us.
            SlowRetrievalError: The server is too slow.
            UnwantedError: It was called off.
            DownloadError: The line or the server broke.
        """
        call = self._download(url, offset)
        with _Watch(call, url, self._settings, self._is_wanted) as watch:
            try:
                for piece in call:
                    self.num_bytes += len(piece)
                    yield piece
                    watch.note(len(piece))
            except grpc.RpcError as error:
                raise watch.verdict or _download_error(url, error) from None
            if watch.verdict is not None:
                raise watch.verdict


class _Watch:
    """Cancels a call that is too slow or not wanted any more, from a thread of its own, and pauses between spans."""

    def __init__(self, call: Pieces, url: str, settings: DownloadSettings, is_wanted: Callable[[], bool]) -> None:
        self.verdict: DownloadError | None = None
        self._call = call
        self._url = url
        self._settings = settings
        self._is_wanted = is_wanted
        self._ended = threading.Event()
        self._span_bytes = 0
        self._begun_s = time.monotonic()
        self._is_paused = False
        self._thread = threading.Thread(target=self._watch, name="download-watch", daemon=True)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._call.cancel()
        self._thread.join()

    def note(self, num_bytes: int) -> None:
        """Count what came; after each span, wait so long that the line is free for its share of the time."""
        self._span_bytes += num_bytes
        if self._span_bytes < _SPAN_BYTES:
            return
        took_s = time.monotonic() - self._begun_s
        self._is_paused = True
        self._ended.wait(min(took_s, self._settings.patience_s) * (1 / self._settings.share - 1))
        self._span_bytes, self._begun_s = 0, time.monotonic()
        self._is_paused = False

    def _watch(self) -> None:
        while not self._ended.wait(_WATCH_S):
            if not self._is_wanted():
                self.verdict = UnwantedError(f"{self._url}: called off")
            elif not self._is_paused and time.monotonic() - self._begun_s > self._settings.patience_s:
                rate = f"wanted {self._settings.least_kib_s:g} KiB/s"
                came = f"{self._span_bytes / 1024:.0f} KiB in {self._settings.patience_s:.0f} s"
                self.verdict = SlowRetrievalError(f"{self._url}: too slow: {came}, {rate}")
            if self.verdict is not None:
                self._ended.set()
                self._call.cancel()


@contextmanager
def open_line(server: str, credentials: Credentials | None) -> Iterator[DownloadCall]:
    """The files of a server, for as long as the block.

    Args:
        server: `HOST:PORT`.
        credentials: What the edge shows; None for plain text within this machine.

    Raises:
        CredentialsError: The certificate has ended.
    """
    with open_channel(server, credentials, options=_CHANNEL_OPTIONS) as channel:
        stub = fleet_pb2_grpc.FleetServiceStub(channel)

        def download(path: str, offset: int) -> Pieces:
            request = fleet_pb2.DownloadReleaseFileRequest(path=path, offset=offset)
            call = stub.DownloadReleaseFile(request, timeout=_CALL_TIMEOUT_S)
            return _Download(call, call.cancel)

        yield download


@dataclass(frozen=True)
class _Download:
    messages: Iterable[fleet_pb2.DownloadReleaseFileResponse]
    cancel: Callable[[], object]

    def __iter__(self) -> Iterator[bytes]:
        return (message.chunk for message in self.messages)


def _download_error(url: str, error: grpc.RpcError) -> DownloadError:
    code, details = error.code(), error.details() or "no details"
    if code is grpc.StatusCode.NOT_FOUND:
        return DownloadHTTPError(f"{url} is not there: {details}", _NOT_FOUND)
    if code in _FINAL_CODES:
        return DownloadHTTPError(f"{url}: {code.name}: {details}", _REFUSED)
    return DownloadError(f"{url}: {code.name}: {details}")
