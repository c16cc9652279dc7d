"""Embedders whose embeddings tell who made them, and a bench around the refresh."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge.backends.selection import Selection
from edge.engine import Engine
from edge.releases.refresh import Phase, Refresh
from edge.releases.store import ReleaseSettings, ReleaseStore
from reid.embedder import check_crops
from reid.errors import EmbeddingError
from reid.release import Precision, Release
from reid.types import FloatArray, ReleaseRef, UInt8Array

CROPS = np.zeros((2, 256, 128, 3), np.uint8)


class FakeEmbedder:
    """Every number of its embeddings is `value`; fails after `good_batches` batches.

    `on_batch` is called in each: for time to pass.
    """

    dim = 4
    backend = "fake"
    precision: Precision = "fp32"

    def __init__(self, release: ReleaseRef, value: float = 0.0, *, good_batches: int = 1 << 30) -> None:
        self.release, self.value, self.good_batches = release, value, good_batches
        self.is_closed = False
        self.on_batch: Callable[[], object] = lambda: None

    def embed(self, crops: UInt8Array) -> FloatArray:
        assert not self.is_closed
        check_crops(crops)
        if self.good_batches <= 0:
            raise EmbeddingError("embeddings are not finite")
        self.good_batches -= 1
        self.on_batch()
        return np.full((len(crops), self.dim), self.value, np.float32)

    def close(self) -> None:
        self.is_closed = True


class Clock:
    """Seconds that pass only when told to."""

    def passing(self, *seconds: float) -> Callable[[], None]:
        """What lets so much time pass at each call, in turn."""
        left = iter(seconds)

        def let_pass() -> None:
            self.now_s += next(left)

        return let_pass

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Bench:
    """A refresh on a real store, with fake embedders.

    Attributes:
        prepare: What opens a release; replaced by tests.
        embedders: By space, as they were opened.
    """

    def __init__(self, folder: Path, configured: Release, **settings: float) -> None:
        self.clock, self.embedders = Clock(), {}
        self.store = ReleaseStore(folder / "releases")
        self.hold = self.store.held()
        assert self.hold.__enter__()
        self.prepare: Callable[[Release, Engine], Selection] = self.open
        self.engine = Engine(self.embedder(configured), vacant_s=0.05, clock=self.clock)
        self.refresh = Refresh(
            self.engine,
            self.store,
            configured,
            prepare=lambda release, engine: self.prepare(release, engine),
            settings=ReleaseSettings.model_validate({"probation_batches": 3, "probation_s": 60, **settings}),
            clock=self.clock,
        )

    @property
    def phase(self) -> Phase:
        return self.refresh.status.phase

    @property
    def state(self):
        return self.store.read_state()

    @property
    def runs(self) -> str:
        """Space of what embeds now."""
        return self.engine.embed(CROPS).release.space

    def embedder(self, release: Release) -> FakeEmbedder:
        self.embedders[release.ref.space] = FakeEmbedder(release.ref, len(self.embedders) + 1.0)
        return self.embedders[release.ref.space]

    def open(self, release: Release, engine: Engine) -> Selection:
        return Selection(self.embedder(release), 1.0, "fake")

    def ask(self, release: Release):
        """Ask for a release and let the refresh take it."""
        request, _ = self.store.ask_to_install(release.folder)
        self.refresh.step()
        return request

    def install(self, release: Release) -> None:
        """Ask for a release and see it through."""
        self.ask(release)
        for _ in range(3):
            self.engine.embed(CROPS)
        self.refresh.step()
