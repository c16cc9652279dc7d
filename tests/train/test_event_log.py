from __future__ import annotations

import sys
from pathlib import Path

import pytest

from train.errors import TrainingError
from train.event_log import open_event_log


def test_each_figure_becomes_a_curve_over_epochs(tmp_path: Path) -> None:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with open_event_log(tmp_path) as events:
        events.write({"epoch": 1, "loss": 2.5})
        events.write({"epoch": 2, "loss": 2.0, "mAP": 0.5})
    written = accumulators.EventAccumulator(str(tmp_path)).Reload()
    assert [(event.step, event.value) for event in written.Scalars("loss")] == [(1, 2.5), (2, 2.0)]
    assert [event.step for event in written.Scalars("mAP")] == [2]


def test_without_the_package_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(TrainingError, match=r"pip install 'osprey-reid\[tensorboard\]'"), open_event_log(tmp_path):
        pytest.fail("was opened")
