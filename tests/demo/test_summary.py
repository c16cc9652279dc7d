import dataclasses
import json

import pytest
from rich.console import Console

from demo.summary import Summary, Transfer, summary_table
from demo.truth import IdentityScores
from reid.identity_metrics import PairScores

GOOD = Transfer(
    frames=60,
    expected_frames=60,
    sent=20,
    acknowledged=20,
    stored=20,
    lost=0,
    remaining=0,
    embedding_bytes=20_000,
    h264_bytes=500_000,
)


def summary(sheet, transfer: Transfer = GOOD) -> Summary:
    scores = IdentityScores(3, 4, 9, PairScores(10, 8, 6), 0.75)
    return Summary(transfer=transfer, identities=scores, sheet=sheet, wall_s=50.0, seed=7, release="r 1")


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
        ({"frames": 59}, "59 frames read, the site has 60"),
        ({"acknowledged": 0, "stored": 0}, "no embedding was acknowledged"),
    ],
)
def test_whatever_is_lost_or_miscounted_is_a_failure(change, complaint):
    (failure,) = dataclasses.replace(GOOD, **change).failures()
    assert complaint in failure


def test_a_missing_contact_sheet_is_a_failure(tmp_path):
    assert "was not written" in summary(tmp_path / "sheet.png").failures()[0]


def test_json_and_table_say_the_same(tmp_path):
    values = json.loads(json.dumps(summary(tmp_path / "sheet.png").to_json()))
    assert values["identities"]["pairs"]["f1"] == pytest.approx(12 / 18)
    console = Console(width=100, record=True, file=(tmp_path / "out").open("w"))
    console.print(summary_table(summary(tmp_path / "sheet.png")))
    text = console.export_text()
    for words in ("20 sent, 20 acknowledged, 20 stored", "3 true, 4 found", "F1 0.667", "true boxes with jitter"):
        assert words in text
