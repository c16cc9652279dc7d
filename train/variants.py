"""Graphs of a release in fewer bits, made beside the one in fp32 and kept only if they find people as well.

A graph is accepted when its golden crops come out as the manifest promises, and mAP on labelled people falls by less
than `MOST_FALL` against the fp32 graph of the same release: where all run it, and where one camera runs it and another
the graph in fp32. The weights, and so the space, stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx

from reid.embedder import Embedder, OnnxEmbedder, check_golden
from reid.errors import EmbeddingError, ReleaseMismatchError
from reid.files import write_atomic, write_folder_atomic
from reid.metrics import score_embeddings
from reid.release import FILES, MODEL_FILES, OPTIONAL_FILES, Precision, Release, load_release, write_release
from train.datasets.samples import ReidSample
from train.errors import DatasetError, QuantisationError
from train.evaluate import Evaluation
from train.export import check_target

MOST_FALL = 0.005
"""Of mAP in [0, 1] against fp32; a graph that falls by as much is refused."""
NUM_CALIBRATION_CROPS = 256

Evaluate = Callable[[Embedder], Evaluation]


class Graph(NamedTuple):
    """A model graph, and how it was made, for the manifest."""

    model: onnx.ModelProto
    how: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How a graph does beside the one in fp32, on the same people.

    Attributes:
        mAP: Its own, in [0, 1].
        mAP_mixed: Its queries in a gallery embedded in fp32.
        mAP_fp32: That of the graph in fp32.
        least_cosine: The least over all crops of the test, between its embedding and that in fp32.
        golden_cosine: The least over the golden crops.
    """

    mAP: float
    mAP_mixed: float
    mAP_fp32: float
    least_cosine: float
    golden_cosine: float

    @property
    def fall(self) -> float:
        """What is lost of mAP, by itself or mixed; negative where something is won."""
        return self.mAP_fp32 - min(self.mAP, self.mAP_mixed)

    def __str__(self) -> str:
        """Its mAP beside that in fp32, in one clause."""
        return (
            f"mAP {self.mAP:.2%}, in a gallery of fp32 {self.mAP_mixed:.2%}, against {self.mAP_fp32:.2%} in fp32 alone"
        )


def calibration_samples(samples: Sequence[ReidSample], num_samples: int = NUM_CALIBRATION_CROPS) -> list[ReidSample]:
    """Choose evenly along the training part, which is ordered by person: many people, all cameras, no chance.

    Raises:
        DatasetError: There is no training part.
    """
    if not samples:
        raise DatasetError("this split has nothing to train on, so nothing to calibrate int8 on: choose another")
    rows = np.linspace(0, len(samples) - 1, min(num_samples, len(samples))).round().astype(int)
    return [samples[row] for row in rows]


def add_variants(
    release: Release,
    folder: Path,
    graphs: Mapping[Precision, Graph],
    evaluate: Evaluate,
    *,
    data_name: str,
    force: bool = False,
) -> tuple[Release, dict[Precision, Verdict]]:
    """Write a release anew with more graphs, if each of them is accepted.

    Args:
        release: It, verified; left as it is.
        folder: Made anew; its parent must exist.
        graphs: By precision; they take the place of those that the release has.
        evaluate: Searches labelled people with an embedder.
        data_name: Who they are, for the manifest.
        force: Replace a release that is in the folder already, perhaps this one.

    Returns:
        The verified release, and what its manifest says of the new graphs.

    Raises:
        QuantisationError: A graph fails its golden check or loses too much of mAP; nothing is written.
        ReleaseError: The folder has content, and `force` is not given or the content is no release.
        OSError: The parent folder is missing, or the disk is full.
    """
    check_target(folder, force=force)
    values = release.manifest.model_dump(exclude={"sha256"})
    with write_folder_atomic(folder, replace=force) as temporary:
        for path in (release.folder / name for name in (*FILES, *OPTIONAL_FILES)):
            if path.is_file():
                write_atomic(temporary / path.name, path.read_bytes())
        for precision, graph in graphs.items():
            write_atomic(temporary / MODEL_FILES[precision], graph.model.SerializeToString(deterministic=True))
        candidate = write_release(temporary, values)
        verdicts = _judge(candidate, list(graphs), evaluate)
        metrics = {f"{name}.{key}": figure for name, one in verdicts.items() for key, figure in asdict(one).items()}
        origins = {name: f"{_accepted(one, data_name)}; {graphs[name].how}" for name, one in verdicts.items()}
        values["metrics"] |= metrics
        values["provenance"] |= origins
        write_release(temporary, values)
    return load_release(folder), verdicts


def _judge(candidate: Release, precisions: Sequence[Precision], evaluate: Evaluate) -> dict[Precision, Verdict]:
    goldens = {precision: _golden_cosine(candidate, precision) for precision in precisions}
    baseline = evaluate(OnnxEmbedder(candidate))
    verdicts: dict[Precision, Verdict] = {}
    for precision in precisions:
        came = evaluate(OnnxEmbedder(candidate, precision=precision))
        verdict = Verdict(
            mAP=came.scores.mAP,
            mAP_mixed=_score_mixed(came, baseline),
            mAP_fp32=baseline.scores.mAP,
            least_cosine=_least_cosine(came, baseline),
            golden_cosine=goldens[precision],
        )
        _require_accepted(candidate, precision, verdict)
        verdicts[precision] = verdict
    return verdicts


def _golden_cosine(candidate: Release, precision: Precision) -> float:
    try:
        return check_golden(OnnxEmbedder(candidate, precision=precision), candidate)
    except (ReleaseMismatchError, EmbeddingError) as error:
        raise QuantisationError(f"the graph in {precision} is refused, and nothing was written: {error}") from None


def _score_mixed(came: Evaluation, wanted: Evaluation) -> float:
    query, gallery = came.query, wanted.gallery
    return score_embeddings(query.embeddings_MD, gallery.embeddings_MD, query.labels, gallery.labels).mAP


def _least_cosine(came: Evaluation, wanted: Evaluation) -> float:
    sides = ((came.query, wanted.query), (came.gallery, wanted.gallery))
    return min(float(np.sum(ours.embeddings_MD * theirs.embeddings_MD, axis=1).min()) for ours, theirs in sides)


def _require_accepted(candidate: Release, precision: Precision, verdict: Verdict) -> None:
    if not verdict.fall < MOST_FALL:
        raise QuantisationError(
            f"the graph of {candidate.ref} in {precision} finds people too much worse: {verdict}, where a fall of less "
            f"than {100 * MOST_FALL:.1f} points is allowed; nothing was written. Leave {precision} out with --precision"
        )


def _accepted(verdict: Verdict, data_name: str) -> str:
    return f"accepted: on {data_name} {verdict}; a fall of less than {100 * MOST_FALL:.1f} points is allowed"
