"""A fleet service in this process that speaks the real wire, gives the files of a dict and misbehaves on request."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import AbstractContextManager
from typing import Any

import grpc

from edge.releases.fetcher import DownloadCall, open_line
from protos import fleet_pb2, fleet_pb2_grpc

Response = fleet_pb2.DownloadReleaseFileResponse


class FakeFleet(fleet_pb2_grpc.FleetServiceServicer):
    """Serves files and directives.

    Set before or during a test:
        files: Content by path.
        is_away: Answers UNAVAILABLE.
        chunk_bytes, pause_s: Pieces of a file, and the wait before each.
        break_after: Breaks off after so many bytes of a target, once; 0 for never.
        endless: Paths after whose content zeros go on for ever.
        directives: Sent one by one on each stream that opens, and when `direct` is called.
        refuse: (code, details) to answer every stream with, or None.
    """

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files = files if files is not None else {}
        self.is_away = False
        self.chunk_bytes, self.pause_s = 1 << 16, 0.0
        self.break_after = 0
        self.endless: set[str] = set()
        self.refuse: tuple[grpc.StatusCode, str] | None = None
        self.directives: list[fleet_pb2.AttendResponse] = []
        self.asked: list[tuple[str, int]] = []
        self.num_bytes = 0
        self.statuses: list[fleet_pb2.AttendRequest] = []
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        fleet_pb2_grpc.add_FleetServiceServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    @property
    def targets_asked(self) -> list[tuple[str, int]]:
        """Path without the hash, and offset, of each request for a target."""
        split = [(path.rpartition("/"), offset) for path, offset in self.asked if path.startswith("targets/")]
        return [(f"{folder}/{name.partition('.')[2]}", offset) for (folder, _, name), offset in split]

    def line(self) -> AbstractContextManager[DownloadCall]:
        return open_line(self.address, None)

    def stop(self) -> None:
        self._closing.set()
        self._server.stop(grace=0).wait(5)

    def direct(self, directive: fleet_pb2.AttendResponse) -> None:
        with self._changed:
            self.directives.append(directive)
            self._changed.notify_all()

    def DownloadReleaseFile(  # noqa: N802
        self, request: fleet_pb2.DownloadReleaseFileRequest, context: Any
    ) -> Iterator[Response]:
        self.asked.append((request.path, request.offset))
        if self.is_away:
            context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")
        if request.path not in self.files:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such file")
        content = self.files[request.path]
        for start in range(request.offset, len(content), self.chunk_bytes):
            if self.break_after and request.path.startswith("targets/") and start >= self.break_after:
                self.break_after = 0
                context.abort(grpc.StatusCode.UNAVAILABLE, "line broke")
            self._closing.wait(self.pause_s)
            chunk = content[start : start + self.chunk_bytes]
            self.num_bytes += len(chunk)
            yield Response(chunk=chunk)
        while request.path in self.endless and context.is_active():
            self.num_bytes += self.chunk_bytes
            yield Response(chunk=bytes(self.chunk_bytes))

    def Attend(  # noqa: N802
        self, request_iterator: Iterator[fleet_pb2.AttendRequest], context: Any
    ) -> Iterator[fleet_pb2.AttendResponse]:
        if self.refuse is not None:
            context.abort(*self.refuse)
        reader = threading.Thread(target=self._listen, args=(request_iterator,), daemon=True)
        reader.start()
        num_sent = 0
        while context.is_active() and reader.is_alive() and not self.is_away:
            with self._changed:
                if len(self.directives) == num_sent:
                    self._changed.wait(0.05)
                news = self.directives[num_sent:]
            num_sent += len(news)
            yield from news
        if self.is_away:
            context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")

    def _listen(self, requests: Iterator[fleet_pb2.AttendRequest]) -> None:
        try:
            for request in requests:
                self.statuses.append(request)
        except Exception:
            return  # the stream is over
