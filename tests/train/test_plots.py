from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from reid.embedding import normalise
from train.plots import draw_curves, draw_projection
from train.projection import project, write_projection


def test_curves_are_drawn_also_where_some_epochs_have_no_score(tmp_path: Path) -> None:
    history = [{"epoch": 1, "loss": 2.0, "num_clusters": 5, "noise_share": 0.3}]
    history.append({"epoch": 2, "loss": 1.0, "num_clusters": 6, "noise_share": 0.2, "mAP": 0.4})
    draw_curves(tmp_path / "curves.png", history)
    assert cv2.imread(str(tmp_path / "curves.png")).std() > 5


def test_projection_shows_samples_and_supports(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 6)
    feats = normalise(np.eye(3, 16)[labels] + 0.1 * rng.standard_normal((18, 16)))
    projection = project(feats, labels, feats[::2], labels[::2])
    draw_projection(tmp_path / "projection.png", projection)
    write_projection(tmp_path / "projection.json", projection)
    assert cv2.imread(str(tmp_path / "projection.png")).std() > 5
    points = json.loads((tmp_path / "projection.json").read_text())["points"]
    assert [(label, kind) for _, _, label, kind in points] == [
        *((label, 0) for label in labels),
        *((label, 1) for label in labels[::2]),
    ]
