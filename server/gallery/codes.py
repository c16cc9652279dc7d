"""The vectors of a faiss index as halves in memory, and which of its rows a search may find."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from reid.types import BoolArray, UInt8Array

HalfArray = npt.NDArray[np.float16]

_faiss: Any = faiss  # its stubs lack the search parameters and some constructors


def half_index(dim: int) -> Any:
    """An empty index that scans unit vectors, kept as halves."""
    return _faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)


def bit_index(num_bits: int) -> Any:
    """An empty index that scans codes of so many bits, a multiple of 8, by Hamming distance."""
    return _faiss.IndexBinaryFlat(num_bits)


def random_rotation(dim: int, num_bits: int) -> Any:
    """Makes `num_bits` >= `dim` numbers of a vector, its length kept; always the same."""
    rotation = _faiss.RandomRotationMatrix(dim, num_bits)
    rotation.init(0)
    return rotation


def codes_of(index: Any) -> UInt8Array:
    """The memory of a half or bit index, (rows, bytes), not a copy; valid until its next add or removal."""
    if index.ntotal == 0:
        return np.empty((0, index.code_size), dtype=np.uint8)
    codes = index.codes if hasattr(index, "codes") else index.xb
    view: UInt8Array = faiss.rev_swig_ptr(codes.data(), codes.size())
    return view.reshape(index.ntotal, index.code_size)


def halves_of(index: Any) -> HalfArray:
    """The vectors of a `half_index`, (rows, D): the same memory, under the same rule."""
    return codes_of(index).view(np.float16)


def move_last(index: Any, row: int) -> None:
    """Let the last row take the place of another, which is lost."""
    last = index.ntotal - 1
    if row != last:
        codes = codes_of(index)
        codes[row] = codes[last]
    index.remove_ids(faiss.IDSelectorRange(last, last + 1))


def only_rows(chosen_N: BoolArray) -> Any:
    """Search parameters that let only those rows be found where `chosen_N` is true."""
    return _faiss.SearchParameters(sel=_faiss.IDSelectorBitmap(np.packbits(chosen_N, bitorder="little")))
