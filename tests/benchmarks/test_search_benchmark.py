from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.instruments.camera_biased import exact_top, queries, write_vectors
from benchmarks.search import chosen_setting, expected_build_s, to_figures

SETTINGS = {
    "32": {"p50_ms": 1.0, "p99_ms": 2.0, "recall10": 0.95},
    "64": {"p50_ms": 2.0, "p99_ms": 3.0, "recall10": 0.991},
    "128": {"p50_ms": 3.0, "p99_ms": 5.0, "recall10": 0.999},
}


def test_the_fastest_setting_that_is_right_enough_is_chosen() -> None:
    assert chosen_setting(SETTINGS, least_recall=0.99) is SETTINGS["64"]


def test_the_most_right_setting_is_chosen_where_none_is_right_enough() -> None:
    assert chosen_setting(SETTINGS, least_recall=0.9999) is SETTINGS["128"]


def test_figures_of_rivals_carry_their_names_and_missing_ones_are_left_out() -> None:
    found = {"settings": SETTINGS, "memory_mib": 1.0, "build_s": 2.0, "start_s": 3.0}
    figures = dict(to_figures(1_000_000, {"ours": found, "usearch": found, "milvus": {"missing": "not here"}}))
    assert (figures["recall10_1m"], figures["p99_ms_usearch_1m"]) == (0.991, 3.0)
    assert not any("milvus" in name for name in figures)


def test_a_larger_index_takes_a_little_more_than_its_share() -> None:
    assert expected_build_s(None, 1000) == 0
    assert expected_build_s((1000, 10.0), 10_000) == pytest.approx(100 * 4 / 3)


def test_exact_neighbours_of_queries_are_views_of_the_same_persons(tmp_path: Path) -> None:
    write_vectors(tmp_path / "vectors.npy", 2000)
    vectors, probes = np.load(tmp_path / "vectors.npy"), queries(2000, 50)
    rows = exact_top(vectors, probes, 10)
    assert np.array_equal(rows, np.argsort(-(probes @ vectors.T.astype(np.float32)), axis=1)[:, :10])
    assert np.mean([np.bincount(persons).max() for persons in rows % 200]) > 8
