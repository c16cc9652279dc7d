"""Standard gRPC health and reflection: what load balancers, orchestrators and `grpcurl` ask any server.

All services, and the server as a whole (the empty name), are SERVING while the records can be written: a search, too,
stands in the audit log before it is answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

logger = structlog.get_logger(__name__)

_LOOK_S = 0.5
"""Between two looks at the writer."""
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class HealthReporter:
    """Tells whoever asks whether this server can do its work.

    Args:
        server: Gets both services.
        is_failing: The records cannot be written.
        services: What it serves, full names.
    """

    def __init__(self, server: grpc.aio.Server, is_failing: Callable[[], bool], *, services: Sequence[str]) -> None:
        self._servicer = health.aio.HealthServicer()
        self._is_failing = is_failing
        self._services = ["", *services]
        self._was_failing = False
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)
        names = (*services, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)

    async def run(self) -> None:
        """Follow the writer until cancelled."""
        await self.start()
        while True:
            await self.step()
            await asyncio.sleep(_LOOK_S)

    async def start(self) -> None:
        """Say that everything is served."""
        for name in self._services:
            await self._servicer.set(name, _SERVING)

    async def step(self) -> None:
        """Look once."""
        is_failing = self._is_failing()
        if is_failing == self._was_failing:
            return
        self._was_failing = is_failing
        for name in self._services:
            await self._servicer.set(name, _NOT_SERVING if is_failing else _SERVING)
        if is_failing:
            logger.warning("not serving: the records cannot be written")
        else:
            logger.info("serving again")

    async def stop(self) -> None:
        """From now on nothing is served."""
        await self._servicer.enter_graceful_shutdown()
