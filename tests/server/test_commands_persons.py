from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes_running import TalkingEdge, running_server
from fakes_stream import batch_message, observation

from reid.release import Release
from server.cli import main


@pytest.fixture
def address(tmp_path: Path, tiny_release: Release) -> Iterator[str]:
    """Persons 1 and 2, one tracklet each, in cam1 and cam2."""
    with running_server(tmp_path / "data", tiny_release) as listening:
        with TalkingEdge(listening) as edge:
            edge.welcome()
            edge.send(batch_message(1, *(observation(0, time_s=i) for i in range(4))))
            edge.send(batch_message(5, *(observation(1, camid="cam2", tracklet_id=2, time_s=63 + i) for i in range(4))))
            while edge.acknowledgement().acked_seq < 8:
                pass
        yield listening


@pytest.fixture
def ask(address: str, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*words: str, code: int = 0, as_json: bool = True) -> Any:
        with pytest.raises(SystemExit) as ended:
            main([*words, "--server", address, *(["--json"] if as_json else [])])
        assert (ended.value.code or 0) == code
        shown = capsys.readouterr()
        if code:
            return shown.err
        return json.loads(shown.out.strip().splitlines()[-1]) if as_json else shown.out

    return run


def test_a_merge_is_shown_and_undone(ask: Any) -> None:
    merged = ask("person", "merge", "1", "2")
    assert ask("person", "show", "1")["camids"] == ["cam1", "cam2"]
    assert [row["gap_us"] for row in ask("person", "timeline", "1")] == [None, 60_000_000]
    assert ask("person", "undo", str(merged["event_key"]))["num_tracklets"] == 1
    merge, undo = ask("events")
    assert merge["moves"] == [{"from_person": 2, "to_person": 1, "num_tracklets": 1}]
    assert (merge["undone_by"], undo["kind"]) == (undo["event_key"], "undo")


def test_a_tracklet_is_split_off_by_its_name(ask: Any) -> None:
    ask("person", "merge", "1", "2")
    assert ask("person", "split", "1", "--tracklet", "edge1/cam2/2")["person_ids"] == [3]
    assert "wanted EDGE/CAMERA/NUMBER" in ask("person", "split", "1", "--tracklet", "cam2/2", code=2)


def test_tables_are_readable(ask: Any) -> None:
    ask("person", "merge", "1", "2")
    ask("person", "name", "1", "Anna")
    assert "Anna" in ask("person", "show", "1", as_json=False)
    assert "0:01:00" in ask("person", "timeline", "1", as_json=False)
    assert "2→1 (1)" in ask("events", "--person", "2", as_json=False)
    assert "0 of 2 tracklets moved" in ask("consolidate", "--hours", "1", as_json=False)


def test_erasing_asks_first(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    ask("person", "erase", "2", code=1)
    assert ask("person", "show", "2")["num_tracklets"] == 1
    assert ask("person", "erase", "2", "--yes")["num_tracklets"] == 1
    assert "no person 2" in ask("person", "show", "2", code=2)


@pytest.mark.parametrize(("format", "name"), [("mot", "edge1_cam2/gt.txt"), ("csv", ""), ("json", "")])
def test_tracklets_are_exported(ask: Any, tmp_path: Path, format: str, name: str) -> None:
    out = tmp_path / "out"
    done = ask("export", "--format", format, "--out", str(out), "--person", "2")
    assert (done["num_tracklets"], done["files"]) == (1, [str(out / name)])
    assert len((out / name).read_text().splitlines()) == {"mot": 4, "csv": 5, "json": 1}[format]
