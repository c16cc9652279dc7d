"""An edge that attends a real server, and downloads with TUF's own client."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from pathlib import Path

import grpc
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

from protos import common_pb2, fleet_pb2, fleet_pb2_grpc
from reid.channel import open_channel
from reid.credentials import Credentials
from reid.types import PROTOCOL_VERSION


class AttendingEdge:
    """One stream of the fleet service."""

    def __init__(self, address: str, edge_id: str = "edge1", *, credentials: Credentials | None = None) -> None:
        self.edge_id = edge_id
        self.space = "tiny-1-0"
        self.embeddings = 0
        self.directive_id, self.state = "", 0
        self._channel = open_channel(address, credentials, options=[("grpc.use_local_subchannel_pool", 1)])
        self._stub = fleet_pb2_grpc.FleetServiceStub(self._channel)
        self._outbox: queue.Queue[fleet_pb2.AttendRequest | None] = queue.Queue()
        self._call = self._stub.Attend(iter(self._outbox.get, None), timeout=20)

    def __enter__(self) -> AttendingEdge:
        return self

    def __exit__(self, *_: object) -> None:
        self._outbox.put(None)
        self._call.cancel()
        self._channel.close()

    def say(
        self, *, directive_id: str = "", state: int = 0, message: str = "", version: int = PROTOCOL_VERSION
    ) -> None:
        self.embeddings += 10
        self._outbox.put(
            fleet_pb2.AttendRequest(
                protocol_version=version,
                edge_id=self.edge_id,
                release=common_pb2.ReleaseRef(name="tiny", version="1", space=self.space),
                backend="onnx",
                embeddings=self.embeddings,
                directive_id=directive_id,
                directive_state=state,  # type: ignore[arg-type]
                message=message,
            )
        )

    def directive(self) -> fleet_pb2.AttendResponse:
        """The next one."""
        self.say()
        return next(self._call)

    def ending(self) -> tuple[grpc.StatusCode, str]:
        """Read to the end, and tell how the server ended the stream."""
        try:
            for _ in self._call:
                pass
        except grpc.RpcError:
            pass
        return self._call.code(), self._call.details()

    def download(self, path: str, *, offset: int = 0) -> bytes:
        request = fleet_pb2.DownloadReleaseFileRequest(path=path, offset=offset)
        return b"".join(response.chunk for response in self._stub.DownloadReleaseFile(request, timeout=20))

    def update(self, folder: Path, root: str, target: str) -> bytes:
        """Download a target as TUF's client does, from nothing but a root."""
        folder.mkdir()
        updater = Updater(
            str(folder), "tuf:/metadata/", str(folder), "tuf:/targets/", _Fetcher(self), bootstrap=root.encode()
        )
        info = updater.get_targetinfo(target)
        assert info is not None
        return Path(updater.download_target(info, str(folder / "got"))).read_bytes()


class _Fetcher(FetcherInterface):
    def __init__(self, edge: AttendingEdge) -> None:
        self._edge = edge

    def _fetch(self, url: str) -> Iterator[bytes]:
        try:
            yield self._edge.download(url.removeprefix("tuf:/"))
        except grpc.RpcError as error:
            status = 404 if error.code() is grpc.StatusCode.NOT_FOUND else 500
            raise DownloadHTTPError(str(error.details()), status) from None
