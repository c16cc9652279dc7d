import dataclasses
import json

import pytest
from rich.console import Console

from demo.refresh import Refresh
from demo.summary import Summary, Transfer, summary_table
from demo.truth import IdentityScores
from reid.identity_metrics import PairScores

GOOD = Transfer(
    frames=60,
    frames_lost=0,
    sent=20,
    acknowledged=20,
    stored=20,
    lost=0,
    remaining=0,
    embedding_bytes=15_000,
    crop_bytes=5_000,
    video_s=10.0,
    h264_bytes_per_s=50_000,
)
DONE = Refresh(
    outcome="done",
    why="everywhere",
    release="r 2",
    num_crops=70,
    crop_bytes=5_000,
    num_epochs=8,
    num_checks=12,
    num_edges=3,
    duration_s=61.0,
)


def summary(sheet, refresh: Refresh | None = DONE) -> Summary:
    before, after = (IdentityScores(3, 4, 9, PairScores(10, 8, right), 0.75) for right in (6, 8))
    return Summary(
        transfer=GOOD,
        before=before,
        after=after,
        refresh=refresh,
        swap_gap_ms=24.0,
        sheet=sheet,
        wall_s=50.0,
        seed=7,
        release="r 2",
    )


def test_a_good_run_has_no_failures():
    assert GOOD.failures() == []
    assert GOOD.ratio == 25.0


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"stored": 19}, "19 embeddings stored, 20 acknowledged"),
        ({"stored": 21}, "21 embeddings stored, 20 acknowledged"),
        ({"lost": 1}, "1 embeddings were lost or refused"),
        ({"remaining": 2}, "2 embeddings remain"),
        ({"frames_lost": 1}, "1 of 60 frames were dropped"),
        ({"acknowledged": 0, "stored": 0}, "no embedding was acknowledged"),
    ],
)
def test_whatever_is_lost_or_miscounted_is_a_failure(change, complaint):
    (failure,) = dataclasses.replace(GOOD, **change).failures()
    assert complaint in failure


def test_a_missing_contact_sheet_is_a_failure(tmp_path):
    assert "was not written" in summary(tmp_path / "sheet.png").failures()[0]


def test_a_refresh_that_did_not_come_through_is_a_failure(tmp_path):
    (tmp_path / "sheet.png").touch()
    refused = dataclasses.replace(DONE, outcome="refused", why="no better than its parent")
    assert summary(tmp_path / "sheet.png", refused).failures() == ["the refresh was refused: no better than its parent"]
    assert summary(tmp_path / "sheet.png").failures() == []


def test_json_and_table_say_the_same(tmp_path):
    values = json.loads(json.dumps(summary(tmp_path / "sheet.png").to_json()))
    assert values["identities"]["pairs"]["f1"] == pytest.approx(12 / 18)
    assert values["identities_after"]["pairs"]["f1"] == pytest.approx(16 / 18)
    console = Console(width=160, record=True, file=(tmp_path / "out").open("w"))
    console.print(summary_table(summary(tmp_path / "sheet.png")))
    text = console.export_text()
    for words in (
        "20 sent, 20 acknowledged, 20 stored",
        "3 people, 4 found",
        "F1 0.667",
        "F1 0.889",
        "24 ms",
        "true boxes",
    ):
        assert words in text
