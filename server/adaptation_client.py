"""A client of the adaptation service, for the command line and tools."""

from __future__ import annotations

from collections.abc import Iterator

from protos import adaptation_pb2, adaptation_pb2_grpc
from reid.credentials import Credentials
from server.adaptation.view import RunView
from server.api.adaptation_messages import run_from_proto
from server.client import SearchClient

_PAGE = 100
_STOP_TIMEOUT_S = 300.0


class AdaptationClient(SearchClient):
    """Talks to one server, as `SearchClient`, and watches over its adaptation.

    Args:
        address: HOST:PORT.
        timeout_s: Deadline of one call; to stop a run may take as long as its process needs to end.
        credentials: Who asks; None for a server on this machine without TLS.

    Every method raises UnreachableError without an answer, NotFoundError when there is no such run, RefusedError when
    the answer is no. A run_key of 0 is the latest run.
    """

    def __init__(self, address: str, *, timeout_s: float = 20.0, credentials: Credentials | None = None) -> None:
        super().__init__(address, timeout_s=timeout_s, credentials=credentials)
        self._adaptation = adaptation_pb2_grpc.AdaptationServiceStub(self._channel)

    def __enter__(self) -> AdaptationClient:
        """Return itself."""
        return self

    def start(self) -> RunView:
        """Begin a run."""
        with self._explaining():
            request = adaptation_pb2.StartAdaptationRequest()
            return run_from_proto(self._adaptation.StartAdaptation(request, timeout=self._timeout_s).run)

    def stop(self, run_key: int) -> RunView:
        """End a run; what was done is kept."""
        with self._explaining():
            request = adaptation_pb2.StopAdaptationRequest(run_key=run_key)
            return run_from_proto(self._adaptation.StopAdaptation(request, timeout=_STOP_TIMEOUT_S).run)

    def resume(self, run_key: int) -> RunView:
        """Go on with a run that failed or was stopped."""
        with self._explaining():
            request = adaptation_pb2.ResumeAdaptationRequest(run_key=run_key)
            return run_from_proto(self._adaptation.ResumeAdaptation(request, timeout=self._timeout_s).run)

    def get(self, run_key: int) -> RunView:
        """A run with its epochs and its verdict."""
        with self._explaining():
            request = adaptation_pb2.GetAdaptationRequest(run_key=run_key)
            return run_from_proto(self._adaptation.GetAdaptation(request, timeout=self._timeout_s).run)

    def iter_runs(self) -> Iterator[RunView]:
        """All runs, the latest first, without epochs and verdicts."""
        before = 0
        while True:
            with self._explaining():
                request = adaptation_pb2.ListAdaptationsRequest(page_size=_PAGE, before_run_key=before)
                runs = self._adaptation.ListAdaptations(request, timeout=self._timeout_s).runs
            yield from map(run_from_proto, runs)
            if len(runs) < _PAGE:
                return
            before = runs[-1].run_key
