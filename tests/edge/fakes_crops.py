"""A server in this process that asks an edge for crops, well or badly."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc

from protos import crops_pb2, crops_pb2_grpc

OK, EXPIRED, OVER_BUDGET, UNKNOWN, FORGOTTEN = range(1, 6)
"""Of `CropStatus`."""


class FakeCropServer(crops_pb2_grpc.CropServiceServicer):
    """Passes on what a test wants asked, and keeps what comes.

    Set before or during a test:
        refuse: (code, details) to answer every hello with, or None.
        break_after: The stream breaks after so many answers; 0 for never.
        is_deaf: Reads no answers.
    """

    def __init__(self) -> None:
        self.refuse: tuple[grpc.StatusCode, str] | None = None
        self.break_after = 0
        self.is_deaf = False
        self.hellos: list[crops_pb2.CropHello] = []
        self.answers: list[crops_pb2.CropAnswer] = []
        self.wanted: queue.Queue[crops_pb2.CropRequest | None] = queue.Queue()
        self._closing = threading.Event()
        self._server: grpc.Server | None = None
        self.port = 0
        self.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def ask(self, seqs: Any, *, spool_id: str, max_bytes: int = 1 << 24, request_id: str = "r1") -> None:
        self.wanted.put(
            crops_pb2.CropRequest(request_id=request_id, max_bytes=max_bytes, spool_id=spool_id, seqs=list(seqs))
        )

    def forget(self, seqs: Any, *, spool_id: str, asked: Any = (), max_bytes: int = 0) -> None:
        request = crops_pb2.CropRequest(request_id="f1", max_bytes=max_bytes, spool_id=spool_id)
        request.forget_seqs.extend(seqs)
        request.seqs.extend(asked)
        self.wanted.put(request)

    def start(self) -> None:
        self._closing.clear()
        self._server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
        crops_pb2_grpc.add_CropServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()

    def stop(self) -> None:
        self._closing.set()
        if self._server is not None:
            self._server.stop(grace=0).wait(5)

    def ExchangeCrops(self, request_iterator: Iterator[Any], context: Any) -> Iterator[Any]:  # noqa: N802
        self.hellos.append(next(request_iterator).hello)
        if self.refuse is not None:
            context.abort(*self.refuse)
        reader = threading.Thread(target=self._read, args=(request_iterator, context), daemon=True)
        if not self.is_deaf:
            reader.start()
        while context.is_active() and not self._closing.is_set():
            try:
                yield crops_pb2.ExchangeCropsResponse(request=self.wanted.get(timeout=0.01))
            except queue.Empty:
                continue

    def _read(self, request_iterator: Iterator[Any], context: Any) -> None:
        try:
            for number, request in enumerate(request_iterator, start=1):
                self.answers.append(request.answer)
                if number == self.break_after:
                    self.break_after = 0
                    context.cancel()
                    return
        except grpc.RpcError:
            return
