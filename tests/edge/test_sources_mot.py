from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import SourceError
from edge.sources.mot import MotSequenceSource, is_mot_sequence, read_mot_boxes

BOXES = "1,-1,10,20,30,40,0.5\n2,-1,1,2,3,4,-0.7\n1,-1,50,60,10,20,1.9\n\n"


@pytest.fixture
def sequence(tmp_path: Path) -> Path:
    """Frames 1, 2 and 4 at 25 Hz; 2 boxes in frame 1, one in frame 2."""
    (tmp_path / "seqinfo.ini").write_text("[Sequence]\nname=x%y\nimDir=img1\nframeRate=25\n")
    (tmp_path / "img1").mkdir()
    for number in (1, 2, 4):
        cv2.imwrite(str(tmp_path / "img1" / f"{number:06d}.jpg"), np.zeros((100, 100, 3), np.uint8))
    (tmp_path / "det").mkdir()
    (tmp_path / "det" / "det.txt").write_text(BOXES)
    return tmp_path


def test_frames_carry_their_numbers_times_and_boxes(sequence: Path) -> None:
    source = MotSequenceSource(sequence, start_time_us=1000)
    frames = list(iter(source.read, None))
    assert source.frame_rate_hz == 25
    assert [(frame.index, frame.time_us) for frame in frames] == [(0, 1000), (1, 41_000), (3, 121_000)]
    assert [len(frame.truth) for frame in frames if frame.truth is not None] == [2, 1, 0]


def test_without_det_txt_frames_carry_no_truth(sequence: Path) -> None:
    (sequence / "det" / "det.txt").unlink()
    frame = MotSequenceSource(sequence, start_time_us=0).read()
    assert frame is not None
    assert frame.truth is None


def test_boxes_become_corners_best_first_with_scores_cut_to_0_and_1(sequence: Path) -> None:
    boxes = read_mot_boxes(sequence / "det" / "det.txt")
    assert boxes[1].xyxy.tolist() == [[50, 60, 60, 80], [10, 20, 40, 60]]
    np.testing.assert_allclose(boxes[1].scores, [1.0, 0.5])
    assert boxes[2].scores.tolist() == [0.0]


@pytest.mark.parametrize(
    "line", ["1,-1,10,20", "1,-1,a,20,30,40,1", "1,-1,10,20,0,40,1", "1,-1,nan,20,30,40,1", "1 -1 10 20 30 40 1"]
)
def test_a_malformed_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "det.txt"
    path.write_text(f"1,-1,10,20,30,40,1\n{line}\n")
    with pytest.raises(SourceError, match=r"det\.txt:2: "):
        read_mot_boxes(path)


def test_missing_boxes_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"cannot read MOT boxes .*none\.txt"):
        read_mot_boxes(tmp_path / "none.txt")


@pytest.mark.parametrize(
    "content",
    ["", "[Sequence]\nimDir=img1\n", "[Sequence]\nframeRate=fast\n", "frameRate=3", "[Sequence]\nframeRate=0\n"],
    ids=["empty", "no-rate", "word", "no-section", "zero"],
)
def test_a_malformed_seqinfo_is_named(sequence: Path, content: str) -> None:
    (sequence / "seqinfo.ini").write_text(content)
    with pytest.raises(SourceError, match=r"seqinfo\.ini"):
        MotSequenceSource(sequence, start_time_us=0)


def test_pictures_without_numbers_are_refused(sequence: Path) -> None:
    (sequence / "img1" / "000004.jpg").rename(sequence / "img1" / "last.jpg")
    with pytest.raises(SourceError, match=r"last\.jpg: pictures of a MOT sequence are named by their frame number"):
        MotSequenceSource(sequence, start_time_us=0)


def test_a_sequence_is_known_by_its_seqinfo(sequence: Path) -> None:
    assert is_mot_sequence(sequence)
    assert not is_mot_sequence(sequence / "img1")


@pytest.mark.data
def test_public_sequences_are_read_whole(data_root: Path) -> None:
    folders = sorted((data_root / "mot17_mini" / "train").iterdir())
    frames = [frame for folder in folders for frame in iter(MotSequenceSource(folder, start_time_us=0).read, None)]
    assert len(frames) == 39
    assert all(frame.truth is not None and len(frame.truth) > 0 for frame in frames)
