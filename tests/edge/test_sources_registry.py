from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes_rtsp import RtspCamera
from fakes_video import write_video

from edge.errors import SourceError
from edge.frames import FrameSource
from edge.sources.images import ImageFolderSource
from edge.sources.mot import MotSequenceSource
from edge.sources.registry import open_source
from edge.sources.simulated import SimulatedSource
from edge.sources.stream import StreamSource
from edge.sources.video import VideoFileSource


def kind_of(uri: str) -> type[FrameSource]:
    source = open_source(uri, start_time_us=0)
    source.close()
    return type(source)


def test_files_and_folders_are_told_apart(tmp_path: Path) -> None:
    pictures = tmp_path / "img1"
    pictures.mkdir()
    cv2.imwrite(str(pictures / "000001.png"), np.zeros((4, 4, 3), np.uint8))
    assert kind_of(str(pictures)) is ImageFolderSource
    (tmp_path / "seqinfo.ini").write_text("[Sequence]\nframeRate=25\n")
    assert kind_of(str(tmp_path)) is MotSequenceSource
    assert kind_of(str(write_video(tmp_path / "a.mp4", 2))) is VideoFileSource


def test_a_simulated_camera_is_opened() -> None:
    assert kind_of("sim:?duration_s=1") is SimulatedSource


def test_a_network_camera_is_opened() -> None:
    camera = RtspCamera(num_frames=50)
    assert kind_of(f"rtsp://127.0.0.1:{camera.port}/1") is StreamSource
    camera.close()


@pytest.mark.parametrize("uri", ["nowhere.mp4", "", "ftp://me:secret@host/a.mp4", "usb:0"])
def test_an_unknown_form_is_refused_with_the_known_ones(uri: str) -> None:
    with pytest.raises(SourceError, match=r"give rtsp://.*webcam:NUMBER.*sim:.*MOT sequence") as refused:
        open_source(uri, start_time_us=0)
    assert "secret" not in str(refused.value)
