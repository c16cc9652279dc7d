"""A client of the release service, for the command line and tools."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from protos import releases_pb2, releases_pb2_grpc
from reid.credentials import Credentials
from reid.release import FILES, MANIFEST_FILE, OPTIONAL_FILES, Release
from server.api.release_messages import registered_from_proto, rollout_from_proto
from server.client import SearchClient
from server.releases.registry import RegisteredRelease
from server.releases.view import RolloutView

_CHUNK_BYTES = 256 << 10
_IMPORT_TIMEOUT_S = 1800.0
"""The gate embeds some thousand crops."""


class ReleaseClient(SearchClient):
    """Talks to one server, as `SearchClient`, about releases and roll-outs.

    Args:
        address: HOST:PORT.
        timeout_s: Deadline of one call; an import may take half an hour.
        credentials: Who asks; None for a server on this machine without TLS.

    Every method raises UnreachableError without an answer, NotFoundError when something does not exist, RefusedError
    when the answer is no.
    """

    def __init__(self, address: str, *, timeout_s: float = 20.0, credentials: Credentials | None = None) -> None:
        super().__init__(address, timeout_s=timeout_s, credentials=credentials)
        self._releases = releases_pb2_grpc.ReleaseServiceStub(self._channel)

    def __enter__(self) -> ReleaseClient:
        """Return itself."""
        return self

    def list_releases(self) -> list[RegisteredRelease]:
        """All releases of the site, oldest first."""
        with self._explaining():
            response = self._releases.ListReleases(releases_pb2.ListReleasesRequest(), timeout=self._timeout_s)
            return [registered_from_proto(release) for release in response.releases]

    def get_release(self, space: str) -> RegisteredRelease:
        """One of them."""
        with self._explaining():
            request = releases_pb2.GetReleaseRequest(space=space)
            return registered_from_proto(self._releases.GetRelease(request, timeout=self._timeout_s).release)

    def import_release(self, release: Release, *, force: bool) -> RegisteredRelease:
        """Register a release that was made elsewhere; the gate judges it unless it is forced."""
        with self._explaining():
            response = self._releases.ImportRelease(_pieces(release, force=force), timeout=_IMPORT_TIMEOUT_S)
            return registered_from_proto(response.release)

    def start_rollout(self, space: str, *, force: bool) -> RolloutView:
        """Bring a release to the edges."""
        with self._explaining():
            request = releases_pb2.StartRolloutRequest(space=space, force=force)
            return rollout_from_proto(self._releases.StartRollout(request, timeout=self._timeout_s).rollout)

    def pause_rollout(self) -> RolloutView:
        """Ask no further edge for now."""
        with self._explaining():
            request = releases_pb2.PauseRolloutRequest()
            return rollout_from_proto(self._releases.PauseRollout(request, timeout=self._timeout_s).rollout)

    def resume_rollout(self) -> RolloutView:
        """Go on."""
        with self._explaining():
            request = releases_pb2.ResumeRolloutRequest()
            return rollout_from_proto(self._releases.ResumeRollout(request, timeout=self._timeout_s).rollout)

    def abort_rollout(self, reason: str) -> RolloutView:
        """Bring its edges back to the release before."""
        with self._explaining():
            request = releases_pb2.AbortRolloutRequest(reason=reason)
            return rollout_from_proto(self._releases.AbortRollout(request, timeout=self._timeout_s).rollout)

    def get_rollout(self, rollout_key: int = 0) -> RolloutView:
        """One roll-out; 0 for the latest."""
        with self._explaining():
            request = releases_pb2.GetRolloutRequest(rollout_key=rollout_key)
            return rollout_from_proto(self._releases.GetRollout(request, timeout=self._timeout_s).rollout)


def _pieces(release: Release, *, force: bool) -> Iterator[releases_pb2.ImportReleaseRequest]:
    yield releases_pb2.ImportReleaseRequest(force=force)
    optional = [name for name in OPTIONAL_FILES if (release.folder / name).is_file()]
    for name in (*FILES, *optional, MANIFEST_FILE):
        yield releases_pb2.ImportReleaseRequest(file=name)
        for chunk in _chunks(release.folder / name):
            yield releases_pb2.ImportReleaseRequest(chunk=chunk)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
