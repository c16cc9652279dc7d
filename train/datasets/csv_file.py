"""A list of samples as a CSV file: one's own data set, labelled or not.

    path,pid,camid[,sequence,frame]
    crops/a.jpg,7,1,3,120

The header is needed; columns may come in any order, sequence and frame are 0 where absent. Paths are relative to the
file. pid: a person from 1 on, 0 a distractor, -1 junk, empty for unlabelled. Sequence names a recording: rows with the
same pid, camid and sequence are one tracklet. Unlabelled rows without a sequence are tracklets of their own.

    all     every row but junk and distractors trains or is adapted on, labelled or not
    test    every row is the test; of each identity and camera the first by name asks, the rest is searched
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from train.datasets.samples import DISTRACTOR_PID, JUNK_PID, UNLABELLED_PID, ReidSample, Split
from train.datasets.splits import split_by_identity
from train.errors import DatasetError

_NEEDED, _OPTIONAL = ("path", "pid", "camid"), ("sequence", "frame")
_USUAL_NAME = "samples.csv"


def read_csv_file(root: Path) -> tuple[ReidSample, ...]:
    """Read a list of samples.

    Args:
        root: The file, or a folder that holds it as samples.csv.

    Raises:
        DatasetError: The file is missing or empty, its header or a line is wrong, or a picture is not there.
    """
    path = root / _USUAL_NAME if root.is_dir() else root
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            _check_header(rows.fieldnames or (), path)
            samples = tuple(_sample_of(row, path, rows.line_num) for row in rows)
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path} is not a CSV file in UTF-8: {error}") from None
    if not samples:
        raise DatasetError(f"{path} lists no sample")
    return samples


def read_all(root: Path) -> Split:
    """Train or adapt on every row that shows a person."""
    kept = tuple(s for s in read_csv_file(root) if s.pid not in (DISTRACTOR_PID, JUNK_PID))
    return Split(train=kept, query=(), gallery=())


def read_test(root: Path) -> Split:
    """Test on every row."""
    return split_by_identity(read_csv_file(root), num_train_pids=0)


def _check_header(names: object, path: Path) -> None:
    columns = list(names) if isinstance(names, (list, tuple)) else []
    wrong = [name for name in columns if name not in _NEEDED + _OPTIONAL]
    missing = [name for name in _NEEDED if name not in columns]
    if wrong or missing:
        raise DatasetError(
            f"{path}, line 1: wanted the header {','.join(_NEEDED)}[,{','.join(_OPTIONAL)}], came '{','.join(columns)}'"
        )


def _sample_of(row: Mapping[str | None, str | None], path: Path, line: int) -> ReidSample:
    where = f"{path}, line {line}"
    if None in row or None in row.values():
        raise DatasetError(f"{where}: wanted as many fields as the header has")
    picture = path.parent / str(row["path"])
    if not row["path"] or not picture.is_file():
        raise DatasetError(f"{where}: there is no picture {picture}")
    pid = _number(row, "pid", where, least=JUNK_PID, empty=UNLABELLED_PID)
    return ReidSample(
        path=picture,
        pid=pid,
        camid=_number(row, "camid", where, least=0),
        # Minus the line is a sequence that no row can give itself: a tracklet of one crop.
        sequence=_number(row, "sequence", where, least=0, empty=-line if pid == UNLABELLED_PID else 0),
        frame=_number(row, "frame", where, least=0, empty=0),
    )


def _number(
    row: Mapping[str | None, str | None], column: str, where: str, *, least: int, empty: int | None = None
) -> int:
    text = (row.get(column) or "").strip()
    if not text and empty is not None:
        return empty
    try:
        value = int(text)
    except ValueError:
        raise DatasetError(f"{where}: {column} '{text}' is not a whole number") from None
    if value < least:
        raise DatasetError(f"{where}: {column} is {value}, wanted at least {least}")
    return value
