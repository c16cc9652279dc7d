from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from train.progress_file import PROGRESS_FILE, ProgressFile


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def content(folder: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((folder / PROGRESS_FILE).read_text())
    return values


def test_it_says_how_far_a_run_is(tmp_path: Path) -> None:
    ProgressFile(tmp_path, num_epochs=4, num_steps=9, clock_s=Clock())(2, 3, 1.5)
    assert content(tmp_path) == {
        "epoch": 2,
        "num_epochs": 4,
        "step": 3,
        "num_steps": 9,
        "loss": 1.5,
        "time_us": 1_000_000_000,
    }


def test_it_is_rewritten_once_a_second_and_after_the_last_step(tmp_path: Path) -> None:
    clock = Clock()
    note = ProgressFile(tmp_path, num_epochs=1, num_steps=4, clock_s=clock)
    seen = []
    for step, time_s in ((1, 0.0), (2, 0.9), (3, 1.1), (4, 1.2)):
        clock.now_s = 1000.0 + time_s
        note(1, step, 1.0)
        seen.append(content(tmp_path)["step"])
    assert seen == [1, 1, 3, 4]


def test_a_clock_that_is_set_back_does_not_silence_it(tmp_path: Path) -> None:
    clock = Clock()
    note = ProgressFile(tmp_path, num_epochs=1, num_steps=4, clock_s=clock)
    note(1, 1, 1.0)
    clock.now_s = 10.0
    note(1, 2, 1.0)
    assert content(tmp_path)["step"] == 2
