from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.gate import Kind, Row, figures_of, table
from benchmarks.instruments.gate.plot import plot_verdicts
from benchmarks.instruments.gate.poisons import overflowing, with_noise
from benchmarks.instruments.gate.sites import SITE, write_simulated
from benchmarks.instruments.gate.truth import Truth
from train.datasets.samples import Split
from train.osnet import OSNet, find_architecture


def row(kind: Kind, *, is_accepted: bool, gain_map: float | None = None) -> Row:
    return Row(
        parent="p",
        candidate="c",
        kind=kind,
        is_accepted=is_accepted,
        gain_map=gain_map,
        gain_crossing=None if gain_map is None else gain_map / 10,
        failed=[] if is_accepted else ["crossing"],
        duration_s=2.0,
    )


@pytest.fixture
def network() -> OSNet:
    torch.manual_seed(0)
    return OSNet(find_architecture("osnet_x0_25")).eval()


def test_a_simulated_tracklet_is_one_person_in_one_part(tmp_path: Path) -> None:
    config = SITE.model_copy(update={"num_people": 8, "num_cameras": 1, "duration_s": 24.0})
    snapshot = write_simulated(tmp_path, parent="space", config=config)
    parts = defaultdict(set)
    times = defaultdict(list)
    for crop in snapshot.crops:
        parts[crop.tracklet].add(crop.part)
        times[crop.tracklet].append(crop.time_us)
    assert all(len(part) == 1 for part in parts.values())
    assert all(np.all(np.diff(moments) == 1_000_000) for moments in times.values())
    assert all(set(times[one]) & set(times[other]) for one, other in snapshot.apart.tolist())


def test_figures_count_what_went_wrong() -> None:
    rows = [
        row("poisoned", is_accepted=True),
        row("poisoned", is_accepted=False),
        row("good", is_accepted=False),
        row("even", is_accepted=True),
    ]
    figures = figures_of(rows)
    assert (figures["poisoned_passed"], figures["num_poisoned"]) == (1, 2)
    assert (figures["good_refused"], figures["num_good"]) == (1, 1)


def test_table_says_what_failed_and_leaves_unknown_gains_out() -> None:
    (line,) = table([row("poisoned", is_accepted=False)])
    assert line.split() == ["p", "c", "poisoned", "refused", "crossing"]
    assert "+12.0" in table([row("good", is_accepted=True, gain_map=12.0)])[0]


def test_plot_is_written_with_candidates_that_were_not_measured(tmp_path: Path) -> None:
    rows = [row("good", is_accepted=True, gain_map=12.0), row("poisoned", is_accepted=False)]
    plot_verdicts(tmp_path / "gate.png", [asdict(each) for each in rows])
    assert (tmp_path / "gate.png").stat().st_size > 1000


def test_an_overflowing_network_computes_the_same(network: OSNet) -> None:
    images = torch.randn(2, 3, 256, 128)
    with torch.inference_mode():
        before = network(images)
        largest = float(overflowing(network).conv1(images).max())
        after = network(images)
    assert largest > float(np.finfo(np.float16).max)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)


def test_noise_is_the_same_every_time(network: OSNet) -> None:
    state = {name: weight.clone() for name, weight in network.state_dict().items()}
    first = {name: weight.clone() for name, weight in with_noise(network, share=0.1).state_dict().items()}
    network.load_state_dict(state)
    again = with_noise(network, share=0.1).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["fc.0.weight"], state["fc.0.weight"])


def test_a_release_that_cannot_be_read_has_no_truth(tmp_path: Path) -> None:
    truth = Truth(split=Split((), (), ()), cache=tmp_path, memory=tmp_path / "truth.json")
    assert truth.labelled_map(tmp_path / "nothing") is None
