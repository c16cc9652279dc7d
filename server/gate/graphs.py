"""Checks of a candidate's files and graphs: what it says of itself, golden parity, precisions, speed."""

from __future__ import annotations

import math
import time

import numpy as np

from reid.embedder import Embedder, OnnxEmbedder, check_golden
from reid.errors import EmbeddingError, ReleaseError
from reid.release import Precision, Release
from reid.types import FloatArray, UInt8Array
from server.gate.ranges import LARGEST_HALF, largest_activation
from server.gate.settings import GateSettings
from server.gate.verdict import Check, at_least, at_most, unmet

_MILLISECONDS = 1000.0
_MOST_PATIENCE = 10
"""A candidate that looks slow is timed so many times as often."""


def check_manifest(parent: Release, candidate: Release, settings: GateSettings) -> Check:
    """The candidate must be a child of its parent, and carry what a child needs."""
    faults = _faults_of(parent, candidate, settings)
    reason = "; ".join(faults) or f"{candidate.ref} is a whole child of {parent.ref}"
    return Check(name="manifest", value=float(len(faults)), bound=0.0, is_passed=not faults, reason=reason)


def check_graphs(candidate: Release, crops: UInt8Array, settings: GateSettings, *, num_threads: int) -> list[Check]:
    """Every graph must come to its golden embeddings, and on people to what the graph in fp32 comes to.

    Args:
        candidate: It.
        crops: uint8 (N, 256, 128, 3), held-out; a few are taken, spread evenly.
        settings: The bounds.
        num_threads: Of ONNX Runtime.
    """
    checks = [_check_golden(candidate, precision, settings, num_threads) for precision in candidate.precisions]
    reduced = [precision for precision in candidate.precisions if precision != "fp32"]
    if not (reduced and len(crops) and checks[0].is_passed):
        return checks
    places = np.linspace(0, len(crops) - 1, min(len(crops), settings.num_precision_crops)).round().astype(int)
    some = crops[places]
    whole = OnnxEmbedder(candidate, num_threads=num_threads).embed(some)
    if "fp16" in reduced:
        checks.append(_check_range(candidate, some[: settings.num_range_crops], settings, num_threads))
    return checks + [
        _check_precision(candidate, precision, some, whole, settings, num_threads) for precision in reduced
    ]


def check_speed(parent: Embedder, candidate: Embedder, crops: UInt8Array, settings: GateSettings) -> Check:
    """A batch may not cost much more of the processor than with the parent; waiting for it is not counted.

    Args:
        parent: Its embedder.
        candidate: The candidate's, on as many threads.
        crops: uint8 (N, 256, 128, 3), at least one.
        settings: The bounds.
    """
    batch = np.resize(crops, (settings.timed_batch_crops, *crops.shape[1:]))
    old_ms = new_ms = math.inf
    for number in range(_MOST_PATIENCE * settings.num_timed_batches):
        old_ms, new_ms = min(old_ms, _embed_ms(parent, batch)), min(new_ms, _embed_ms(candidate, batch))
        if number + 1 >= settings.num_timed_batches and new_ms <= settings.max_slowdown * old_ms:
            break  # one that looks slow gets more chances: others on a busy machine can slow it down, never speed it up
    return at_most(
        "latency",
        new_ms / old_ms,
        settings.max_slowdown,
        f"{new_ms:.1f} ms for a batch of {len(batch)}, parts of the parent's {old_ms:.1f} ms:",
    )


def _embed_ms(embedder: Embedder, batch: UInt8Array) -> float:
    started = time.process_time()
    embedder.embed(batch)
    return (time.process_time() - started) * _MILLISECONDS


def _faults_of(parent: Release, candidate: Release, settings: GateSettings) -> list[str]:
    mine, its = candidate.manifest, parent.manifest
    missing = (
        sorted(set(parent.precisions) - set(candidate.precisions)) if settings.requires_precisions_of_parent else []
    )
    found = {
        f"its parent is {mine.parent}, wanted {its.space}": mine.parent != its.space,
        f"its space {mine.space} is its parent's: other weights need another space": mine.space == its.space,
        f"its embeddings have {mine.dim} numbers, its parent's {its.dim}": mine.dim != its.dim,
        f"its threshold is {mine.thresholds.match}": not -1.0 < mine.thresholds.match < 1.0,
        f"it has no graph in {' and '.join(missing)}, which its parent has": bool(missing),
    }
    return [*(fault for fault, is_so in found.items() if is_so), *_alignment_faults(candidate)]


def _alignment_faults(candidate: Release) -> list[str]:
    try:
        if candidate.alignment is None:
            return ["it has no alignment: what is stored could not be compared with what it embeds"]
    except ReleaseError as error:
        return [str(error)]
    return []


def _check_golden(candidate: Release, precision: Precision, settings: GateSettings, num_threads: int) -> Check:
    name = f"golden_{precision}"
    least: float = getattr(settings.golden_cosines, precision)
    bound = max(least, candidate.manifest.golden_cosine.get(precision, -1.0))
    try:
        cosine = check_golden(OnnxEmbedder(candidate, precision=precision, num_threads=num_threads), candidate)
    except (ReleaseError, EmbeddingError) as error:
        return unmet(name, bound, str(error))
    return at_least(name, cosine, bound, f"least cosine to the golden embeddings in {precision}")


def _check_precision(
    candidate: Release,
    precision: Precision,
    crops: UInt8Array,
    whole: FloatArray,
    settings: GateSettings,
    num_threads: int,
) -> Check:
    name, bound = f"precision_{precision}", float(getattr(settings.precision_cosines, precision))
    try:
        came = OnnxEmbedder(candidate, precision=precision, num_threads=num_threads).embed(crops)
    except (ReleaseError, EmbeddingError) as error:
        return unmet(name, bound, str(error))
    cosine = float(np.sum(came * whole, axis=1).mean())
    return at_least(name, cosine, bound, f"mean cosine of {precision} to fp32 on {len(crops)} held-out crops")


def _check_range(candidate: Release, crops: UInt8Array, settings: GateSettings, num_threads: int) -> Check:
    bound = LARGEST_HALF / settings.half_headroom
    try:
        largest = largest_activation(candidate.model_path, crops, num_threads=num_threads)
    except ReleaseError as error:
        return unmet("range_fp16", bound, str(error))
    text = (
        f"largest number inside the network on {len(crops)} held-out crops (half precision ends at {LARGEST_HALF:.0f})"
    )
    if not np.isfinite(largest):
        return unmet("range_fp16", bound, f"{text}: not finite")
    return at_most("range_fp16", largest, bound, text)
