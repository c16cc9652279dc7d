"""A small MOT sequence for tests: real files, two coloured persons walking."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

RATE_HZ = 10


def write_sequence(folder: Path, *, num_frames: int = 30) -> Path:
    """Write `seqinfo.ini`, pictures and `det/det.txt` of two persons who stay apart; returns the folder."""
    (folder / "img1").mkdir(parents=True, exist_ok=True)
    (folder / "det").mkdir(exist_ok=True)
    (folder / "seqinfo.ini").write_text(
        f"[Sequence]\nname=walk\nimDir=img1\nframeRate={RATE_HZ}\nseqLength={num_frames}\n"
        "imWidth=320\nimHeight=240\nimExt=.jpg\n"
    )
    rng, lines = np.random.default_rng(3), []
    background = rng.integers(90, 110, (240, 320, 3), dtype=np.uint8)
    for number in range(1, num_frames + 1):
        image = background.copy()
        for left, top, colour in ((40 + 2 * number, 60, (200, 40, 40)), (260 - 2 * number, 70, (40, 40, 200))):
            image[top : top + 120, left : left + 40] = colour
            lines.append(f"{number},-1,{left},{top},40,120,0.9,-1,-1,-1")
        cv2.imwrite(str(folder / "img1" / f"{number:06d}.jpg"), image)
    (folder / "det" / "det.txt").write_text("\n".join(lines) + "\n")
    return folder
