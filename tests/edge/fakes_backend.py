"""Back ends that compute rightly or wrongly, and take the time they are told to on a clock of their own."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from edge.backends.registry import Backend
from edge.errors import BackendError
from reid.embedder import OnnxEmbedder
from reid.release import Precision, Release
from reid.types import FloatArray, UInt8Array


class FakeClock:
    """Seconds that pass only when somebody works."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class FakeEmbedder:
    """An embedder whose calls take `cost_s` each; a wrong one puts the numbers into other places."""

    def __init__(
        self, release: Release, backend: str, precision: Precision, *, clock: FakeClock, cost_s: float, is_wrong: bool
    ) -> None:
        self._inner = OnnxEmbedder(release, num_threads=1)
        self.release, self.dim, self.backend, self.precision = release.ref, self._inner.dim, backend, precision
        self._clock, self._cost_s, self._shift = clock, cost_s, int(is_wrong)

    def embed(self, crops: UInt8Array) -> FloatArray:
        self._clock.now_s += self._cost_s
        return np.roll(self._inner.embed(crops), self._shift, axis=1)


class FakeBackend:
    """Makes embedders, one precision for each entry of `costs_s`.

    Attributes:
        opened: Precisions of what it made, in order.
        wrong: Precisions in which it computes something else than was released.
    """

    def __init__(self, name: str, clock: FakeClock, costs_s: Mapping[Precision, float], version: str = "1") -> None:
        self.name, self.version, self.is_installed = name, version, True
        self.opened: list[Precision] = []
        self.wrong: Collection[Precision] = ()
        self._clock, self._costs_s = clock, costs_s

    def row(self) -> Backend:
        """Its row in a registry."""
        return Backend(self.name, lambda: self.version, self._precisions, self._open)

    def _precisions(self, _release: Release) -> tuple[Precision, ...]:
        if not self.is_installed:
            raise BackendError(f"{self.name} is not installed")
        return tuple(self._costs_s)

    def _open(self, release: Release, precision: Precision, _num_threads: int) -> FakeEmbedder:
        self.opened.append(precision)
        return FakeEmbedder(
            release,
            self.name,
            precision,
            clock=self._clock,
            cost_s=self._costs_s[precision],
            is_wrong=precision in self.wrong,
        )
