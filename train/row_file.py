"""Large arrays written to a .npy file part by part, to be opened again as a memory map."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from reid.types import UInt8Array


def write_rows(path: Path, shape: tuple[int, ...], parts: Iterable[UInt8Array]) -> None:
    """Write a uint8 .npy file whose rows are made one part after the other.

    These are ordinary writes and not a memory map, because a disk that fills up under a map ends the process (SIGBUS).

    Args:
        path: The file; on the disk when this returns, and broken off where it raises.
        shape: Of the whole array, rows first; rows that no part fills, at the end, are zero.
        parts: uint8 arrays that follow each other in the file, together no more than the shape has.

    Raises:
        OSError: The disk is full or the folder cannot be written.
    """
    num_bytes = math.prod(shape)
    try:
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            end = file.tell() + num_bytes
            for part in parts:
                file.write(part.tobytes())
            file.truncate(end)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        wanted = f"{error.strerror}: it takes {num_bytes / 1e6:,.1f} MB; make room or name another folder"
        raise OSError(error.errno, wanted, str(path)) from None
