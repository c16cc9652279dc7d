"""Graphs in fewer bits that a release takes over from its parent: an edge that runs one keeps its speed.

There are no labels to judge them by (`train.variants` has some). A graph is kept if the golden crops come out of it as
the manifest promises; one that fails is left out, and its edges run the graph in fp32.
"""

from __future__ import annotations

from pathlib import Path

import onnx
import structlog

from reid.embedder import OnnxEmbedder, check_golden
from reid.errors import EmbeddingError, ReleaseMismatchError
from reid.files import write_atomic, write_folder_atomic
from reid.release import FILES, MODEL_FILES, OPTIONAL_FILES, Precision, Release, load_release, write_release
from reid.types import UInt8Array
from train.errors import QuantisationError
from train.half_graph import half_graph
from train.int8_graph import int8_graph

logger = structlog.get_logger(__name__)


def inherit_graphs(release: Release, parent: Release, crops: UInt8Array) -> Release:
    """Give a release the graphs that its parent has, where they work.

    Args:
        release: Its folder is replaced, whole.
        parent: Says which graphs.
        crops: uint8 (N, 256, 128, 3) BGR, some hundred of the training part: ranges of int8 are taken from them.

    Returns:
        The verified release; as it was where nothing was to be done.

    Raises:
        OSError: The disk is full; the release is as it was.
    """
    wanted = [precision for precision in parent.precisions if precision not in release.precisions]
    if not wanted:
        return release
    values = release.manifest.model_dump(exclude={"sha256"})
    with write_folder_atomic(release.folder, replace=True) as temporary:
        for path in (release.folder / name for name in (*FILES, *OPTIONAL_FILES)):
            if path.is_file():
                write_atomic(temporary / path.name, path.read_bytes())
        for precision in wanted:
            _add_graph(release, precision, crops, temporary)
        candidate = write_release(temporary, values)
        refused = [precision for precision in wanted if not _works(candidate, precision)]
        for precision in refused:
            (temporary / MODEL_FILES[precision]).unlink(missing_ok=True)
        write_release(temporary, values)
    return load_release(release.folder)


def _add_graph(release: Release, precision: Precision, crops: UInt8Array, folder: Path) -> None:
    try:
        if precision == "int8":
            model = int8_graph(release.model_path, crops)
        else:
            model = half_graph(onnx.load(release.model_path))
    except QuantisationError as error:
        logger.warning("graph left out", precision=precision, reason=str(error))
        return
    write_atomic(folder / MODEL_FILES[precision], model.SerializeToString(deterministic=True))


def _works(candidate: Release, precision: Precision) -> bool:
    if precision not in candidate.precisions:
        return False
    try:
        check_golden(OnnxEmbedder(candidate, precision=precision), candidate)
    except (ReleaseMismatchError, EmbeddingError) as error:
        logger.warning("graph left out", precision=precision, reason=str(error))
        return False
    return True
