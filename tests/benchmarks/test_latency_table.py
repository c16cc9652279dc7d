from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.instruments.latency.plot import plot_latency
from benchmarks.instruments.latency.table import BEGIN, END, insert, markdown

SPREAD = {"p50_ms": 2.0, "p90_ms": 2.5, "p99_ms": 3.0, "max_ms": 4.0, "count": 100}
DETAILS: dict[str, Any] = {
    "release": "osnet 1",
    "best": "openvino bf16",
    "model": {"1": {"openvino bf16": SPREAD, "torch compiled": SPREAD}, "4": {"openvino bf16": SPREAD}},
    "crops": {"1": {"openvino bf16": SPREAD}},
    "streams": {
        "1": {
            "frame": SPREAD,
            "view": SPREAD,
            "observations_per_s": 30.0,
            "frames_sent": 200,
            "frames_skipped": 1,
            "frames_dropped": 3,
        }
    },
    "missing": {"tensorrt": "no\n driver"},
}
FIGURES = {"speedup_b1": 9.87654, "cosine_min": 0.99972}


def test_the_table_shows_figures_beside_their_aims() -> None:
    lines = markdown(FIGURES, DETAILS).splitlines()
    assert "| crop to embedding, batch 1, times the eager extractor's rate | 9.88 | >= 10 | `speedup_b1` |" in lines
    assert "| least cosine to fp32 | 0.99972 | >= 0.999 | `cosine_min` |" in lines


def test_rates_are_of_the_largest_batch_and_cells_without_a_measurement_stay_empty() -> None:
    lines = markdown(FIGURES, DETAILS).splitlines()
    assert "| openvino bf16 | 2 / 3 | 2 / 3 | 2000 |" in lines
    assert "| torch compiled | 2 / 3 |  | 500 |" in lines


def test_streams_show_the_share_of_frames_that_were_left_out() -> None:
    assert "| 1 | 2 | 2.5 | 3 | 4 | 2 / 3 | 30 | 2.0% |" in markdown(FIGURES, DETAILS).splitlines()


def test_what_is_missing_is_named_with_its_reason_in_one_line() -> None:
    assert "- tensorrt: no driver" in markdown(FIGURES, DETAILS).splitlines()


def test_the_text_around_the_marks_stays(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    insert(page, "new")
    insert(page, "newer")
    assert page.read_text() == f"before\n{BEGIN}\nnewer\n{END}\nafter\n"


def test_a_page_without_marks_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{END} {BEGIN}")
    with pytest.raises(ValueError, match=r"page\.md lacks"):
        insert(page, "new")
    assert page.read_text() == f"{END} {BEGIN}"


def test_the_plot_is_drawn(tmp_path: Path) -> None:
    plot_latency(tmp_path / "latency.png", DETAILS)
    assert (tmp_path / "latency.png").read_bytes().startswith(b"\x89PNG")
