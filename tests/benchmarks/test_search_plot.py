from __future__ import annotations

from pathlib import Path

from benchmarks.instruments.search.plot import plot_search

FOUND = {"settings": {"32": {"p99_ms": 2.0, "recall10": 0.95}, "64": {"p99_ms": 3.0, "recall10": 0.991}}}


def test_a_panel_for_each_size_is_drawn_without_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "search.png"
    plot_search(
        path, {200_000: {"ours": FOUND, "hnswlib": FOUND}, 1_000_000: {"ours": FOUND, "milvus": {"missing": "-"}}}
    )
    assert path.read_bytes().startswith(b"\x89PNG")
