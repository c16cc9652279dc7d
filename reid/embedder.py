"""Embedders: crops in, unit-norm embeddings out. One interface for every back end, and its ONNX Runtime back end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import onnxruntime as ort

from reid.embedding import normalise
from reid.errors import EmbeddingError, ReleaseError, ReleaseMismatchError
from reid.preprocess import INPUT_HEIGHT_PX, INPUT_WIDTH_PX
from reid.release import Golden, Precision, Release
from reid.types import FloatArray, ReleaseRef, UInt8Array

SMALL_BATCHES = (1, 2, 3, 4)
"""Persons in a usual frame. A back end may have a graph of its own for each; the golden check runs them all."""


class Embedder(Protocol):
    """What every back end offers. One thread at a time."""

    @property
    def release(self) -> ReleaseRef:
        """The release whose weights this runs."""

    @property
    def dim(self) -> int:
        """Numbers in an embedding."""

    @property
    def precision(self) -> Precision:
        """Arithmetic of the engine."""

    @property
    def backend(self) -> str:
        """What runs it, one word."""

    def embed(self, crops: UInt8Array) -> FloatArray:
        """Embed a batch.

        Args:
            crops: uint8 (N, 256, 128, 3) BGR; N may be 0.

        Returns:
            float32 (N, D), unit norm.

        Raises:
            EmbeddingError: The batch has another shape or type, or the network's output is not finite.
        """


class OnnxEmbedder:
    """Runs a release on the CPU with ONNX Runtime.

    Args:
        release: A verified release.
        precision: One of `release.precisions`: ONNX Runtime computes what the graph says. In fp16 it is for checking
            a graph, not for speed: most processors compute it in fp32 and round in between.
        num_threads: Threads of one call; 0 for one per core.

    Raises:
        ReleaseError: The release has no graph in this precision, ONNX Runtime cannot load it, or its input or output
            is not that of the manifest.
    """

    backend = "onnxruntime"

    def __init__(self, release: Release, *, precision: Precision = "fp32", num_threads: int = 0) -> None:
        self.release = release.ref
        self.dim = release.manifest.dim
        self.precision = precision
        path = release.model_path_in(precision)
        options = ort.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(str(path), sess_options=options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises a dozen unrelated types for a broken file
            raise ReleaseError(f"{path} cannot be loaded by ONNX Runtime: {error}") from None
        check_graph(
            release,
            [node.name for node in self._session.get_inputs()],
            {node.name: node.shape[-1] for node in self._session.get_outputs()},
            precision=precision,
        )

    def embed(self, crops: UInt8Array) -> FloatArray:
        """See `Embedder.embed`."""
        check_crops(crops)
        if len(crops) == 0:
            return np.empty((0, self.dim), dtype=np.float32)
        return normalise(self._session.run(["embeddings"], {"crops": crops})[0])


def check_graph(
    release: Release, inputs: Sequence[str], outputs: Mapping[str, object], *, precision: Precision = "fp32"
) -> None:
    """Refuse a model whose input or output is not what a release promises.

    Args:
        release: It, with its manifest.
        inputs: Names of the graph's inputs.
        outputs: Numbers in a row of each output, by the output's name.
        precision: Of the graph.

    Raises:
        ReleaseMismatchError: They are not crops -> embeddings, or of another dimension.
    """
    path = release.model_path_in(precision)
    names = list(inputs), list(outputs)
    if names != (["crops"], ["embeddings"]):
        raise ReleaseMismatchError(f"{path}: inputs and outputs {names}, wanted crops -> embeddings")
    if outputs["embeddings"] != release.manifest.dim:
        raise ReleaseMismatchError(
            f"{path} puts out {outputs['embeddings']} numbers, its manifest says {release.manifest.dim}"
        )


def check_crops(crops: UInt8Array) -> None:
    """Refuse a batch that no embedder takes.

    Raises:
        EmbeddingError: Not uint8 (N, 256, 128, 3).
    """
    wanted = (INPUT_HEIGHT_PX, INPUT_WIDTH_PX, 3)
    if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != wanted:
        raise EmbeddingError(f"crops are {crops.dtype} {crops.shape}, wanted uint8 (N, {wanted[0]}, {wanted[1]}, 3)")


def check_golden(embedder: Embedder, release: Release, *, sizes: Sequence[int] = SMALL_BATCHES) -> float:
    """Embed a release's golden crops and compare with what its manifest promises.

    Args:
        embedder: It.
        release: The one that it runs.
        sizes: Batches to be run, besides all crops at once; in larger ones the crops repeat.

    Returns:
        The least cosine over the golden crops and sizes.

    Raises:
        ReleaseMismatchError: It is below the manifest's bound for this embedder's precision.
    """
    golden = release.golden
    cosine = min(_least_cosine(embedder, golden, size) for size in (*sizes, len(golden.crops)))
    bound = release.manifest.golden_cosine[embedder.precision]
    if not cosine >= bound:
        raise ReleaseMismatchError(
            f"release {release.ref}: golden crops come out at cosine {cosine:.5f} in {embedder.precision}, "
            f"wanted at least {bound}: this engine does not compute what was released"
        )
    return cosine


def _least_cosine(embedder: Embedder, golden: Golden, size: int) -> float:
    num_crops = len(golden.crops)
    batches = [np.arange(start, start + size) % num_crops for start in range(0, num_crops, size)]
    cosines = [np.sum(embedder.embed(golden.crops[rows]) * golden.embeddings[rows], axis=1) for rows in batches]
    return float(np.min(cosines))
