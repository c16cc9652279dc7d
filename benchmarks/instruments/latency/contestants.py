"""What is timed: every back end of Osprey that runs here, in every precision, as an agent would open it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge.backends.registry import BACKENDS, Backend
from reid.embedder import Embedder, check_golden
from reid.errors import OspreyError
from reid.preprocess import network_input
from reid.release import Release
from reid.types import Box, FloatArray, UInt8Array

BATCHES = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """Something that embeds.

    Attributes:
        name: For tables.
        prepare: Makes its input from crops, uint8 (N, 256, 128, 3) BGR; not timed with the model alone.
        run: The model alone, on what was prepared.
        from_frame: From a decoded frame, uint8 (H, W, 3) BGR, and boxes in it to embeddings.
        embedder: Osprey's, if it is that.
        batches: Those that it can do.
    """

    name: str
    prepare: Callable[[UInt8Array], Any]
    run: Callable[[Any], FloatArray]
    from_frame: Callable[[UInt8Array, Sequence[Box]], FloatArray]
    embedder: Embedder | None = None
    batches: tuple[int, ...] = BATCHES


Missing = dict[str, str]
"""Why something was not timed, by name."""


def our_contestants(
    release: Release, *, num_threads: int, backends: Mapping[str, Backend] = BACKENDS
) -> tuple[list[Contestant], Missing]:
    """Open a release with every back end, in every precision, and check its golden crops.

    Args:
        release: A verified one.
        num_threads: Threads of one call; 0 for one per core.
        backends: To choose from.
    """
    found: list[Contestant] = []
    missing: Missing = {}
    for name, backend in backends.items():
        try:
            precisions = backend.precisions(release)
        except OspreyError as error:
            missing[name] = str(error)
            continue
        for precision in precisions:
            try:
                embedder = backend.open(release, precision, num_threads)
                check_golden(embedder, release)
                found.append(contestant_of(embedder))
            except OspreyError as error:
                missing[f"{name} {precision}"] = str(error)
    return found, missing


def contestant_of(embedder: Embedder) -> Contestant:
    """An embedder of Osprey; its input needs no preparation, since normalising is part of its graph."""

    def from_frame(image: UInt8Array, boxes: Sequence[Box]) -> FloatArray:
        return embedder.embed(network_input(image, boxes))

    return Contestant(
        name=f"{embedder.backend} {embedder.precision}",
        prepare=lambda crops: crops,
        run=embedder.embed,
        from_frame=from_frame,
        embedder=embedder,
    )
