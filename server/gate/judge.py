"""The gate itself: embeds the held-out crops with parent and candidate, and says whether the candidate may go out.

What is wrong with the candidate is a reason to refuse it, never an error; only a parent or a snapshot that cannot be
read is one. Checks stop early where the next would need what just failed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reid.embedder import Embedder, OnnxEmbedder
from reid.errors import EmbeddingError, ReleaseError, SnapshotError
from reid.release import Release, load_release
from reid.snapshot import Snapshot
from reid.types import FloatArray, UInt8Array
from server.gate.comparison import check_colours, check_cross, check_threshold, compare, figures_of, measure
from server.gate.graphs import check_graphs, check_manifest, check_speed
from server.gate.held_out import HeldOut, read_held_out
from server.gate.measures import Tracklets, separations, view
from server.gate.settings import GateSettings
from server.gate.verdict import Check, Verdict, at_least, unmet, verdict_of

OnProgress = Callable[[int, int], None]
"""Called with crops embedded so far and in all."""
_BATCH_CROPS = 32


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Judges candidates against one parent on one snapshot.

    Attributes:
        parent: A verified release.
        held_out: What to measure on.
        settings: The bounds.
        num_threads: Of ONNX Runtime; 0 for one per core.
        on_progress: Told after every batch.
    """

    parent: Release
    held_out: HeldOut
    settings: GateSettings
    num_threads: int = 1
    on_progress: OnProgress = lambda num_done, num_crops: None

    def judge(self, folder: Path) -> Verdict:
        """Judge the candidate in a folder.

        Raises:
            ReleaseError: The parent cannot be run.
            EmbeddingError: The parent's output is not finite.
        """
        try:
            candidate = load_release(folder)
        except ReleaseError as error:
            return verdict_of((unmet("readable", 0.0, str(error)),), {})
        checks = [check_manifest(self.parent, candidate, self.settings)]
        checks += check_graphs(candidate, self.held_out.crops, self.settings, num_threads=self.num_threads)
        checks.append(self._check_held_out())
        figures: dict[str, float] = {}
        if all(check.is_passed for check in checks):
            measured, figures = self._measure(candidate)
            checks += measured
        return verdict_of(tuple(checks), figures)

    def _check_held_out(self) -> Check:
        others_T = self.held_out.tracklets.others.sum(axis=1)
        return at_least(
            "held_out",
            float(np.sum(others_T > 1)),
            float(self.settings.min_tracklets),
            "held-out tracklets of two crops with others beside them in their camera",
        )

    def _measure(self, candidate: Release) -> tuple[list[Check], dict[str, float]]:
        crops, tracklets, settings = self.held_out.crops, self.held_out.tracklets, self.settings
        some = tracklets.subset(settings.num_colour_tracklets)
        steps = _Steps(total=2 * len(crops) + some.num_crops, tell=self.on_progress)
        ours = OnnxEmbedder(self.parent, num_threads=self.num_threads)
        its = OnnxEmbedder(candidate, num_threads=self.num_threads)
        parent = measure(steps.embed(ours, crops), tracklets, settings)
        figures = figures_of("parent", parent, settings)
        try:
            embeddings = steps.embed(its, crops)
            measured = measure(embeddings, tracklets, settings)
            colours = _check_colours(embeddings, steps.embed_exchanged(its, crops, some), some, settings)
        except EmbeddingError as error:
            return [unmet("embeddings", 0.0, str(error))], figures
        alignment = candidate.alignment
        assert alignment is not None, "or its manifest had not passed"
        checks = [
            *compare(parent, measured, settings),
            check_cross(parent, measured, alignment, tracklets, settings),
            colours,
            *check_threshold(
                parent, self.parent.manifest.thresholds.match, measured, candidate.manifest.thresholds.match, settings
            ),
            check_speed(ours, its, crops, settings),
        ]
        return checks, figures | figures_of("candidate", measured, settings)


def judge(
    folder: Path,
    parent: Release,
    snapshot: Snapshot,
    settings: GateSettings,
    *,
    num_threads: int = 1,
    on_progress: OnProgress = lambda num_done, num_crops: None,
) -> Verdict:
    """Judge one candidate.

    Args:
        folder: The candidate's; whatever is wrong with it becomes a refusal.
        parent: The release that is served, from which it was trained.
        snapshot: Of whose held-out part no training has seen a crop.
        settings: The bounds.
        num_threads: Of ONNX Runtime; 0 for one per core.
        on_progress: Told after every batch.

    Raises:
        ReleaseError: The parent cannot be run.
        EmbeddingError: The parent's output is not finite.
        ImageError: A held-out crop cannot be decoded.
        SnapshotError: The snapshot was not made under the parent.
    """
    if snapshot.parent != parent.manifest.space:
        raise SnapshotError(
            f"snapshot {snapshot.folder} was made under {snapshot.parent}, and the parent is {parent.manifest.space}: "
            "give the release that the site served then"
        )
    held_out = read_held_out(snapshot, settings)
    judge_ = Judge(
        parent=parent, held_out=held_out, settings=settings, num_threads=num_threads, on_progress=on_progress
    )
    return judge_.judge(folder)


@dataclass(kw_only=True)
class _Steps:
    """Embeds in batches and tells how far it is."""

    total: int
    tell: OnProgress
    num_done: int = 0

    def embed(self, embedder: Embedder, crops: UInt8Array) -> FloatArray:
        """(N, D) embeddings of all crops."""
        parts = []
        for start in range(0, len(crops), _BATCH_CROPS):
            parts.append(embedder.embed(crops[start : start + _BATCH_CROPS]))
            self.num_done += len(parts[-1])
            self.tell(self.num_done, self.total)
        return np.concatenate(parts)

    def embed_exchanged(self, embedder: Embedder, crops: UInt8Array, tracklets: Tracklets) -> FloatArray:
        """(N, D) embeddings of the tracklets' crops with red and blue exchanged; zero in all other rows."""
        rows = np.concatenate(tracklets.members)
        embeddings = np.zeros((len(crops), embedder.dim), dtype=np.float32)
        embeddings[rows] = self.embed(embedder, np.ascontiguousarray(crops[rows][..., ::-1]))
        return embeddings


def _check_colours(
    usual_ND: FloatArray, exchanged_ND: FloatArray, tracklets: Tracklets, settings: GateSettings
) -> Check:
    usual, exchanged = (view(embeddings, tracklets) for embeddings in (usual_ND, exchanged_ND))
    return check_colours(
        separations(usual.heads, usual.tails, tracklets),
        separations(exchanged.heads, exchanged.tails, tracklets),
        settings,
    )
