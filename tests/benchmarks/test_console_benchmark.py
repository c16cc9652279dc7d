from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.console import prepare
from benchmarks.instruments.console_records import CAMERAS_EACH, PER_PERSON
from benchmarks.instruments.console_visitor import PageRequest, page_requests
from server.storage.audit import audit_page
from server.storage.database import StorageSettings, open_database
from server.storage.lineage import read_events, read_links
from server.storage.summaries import SqlSummaries


class PageOfForms:
    """Stands for a console: every page has a form and a crop, and a photo has an address."""

    def read(self, request: PageRequest) -> str:
        if request.body:
            return "/search?photo=p0"
        return '<input type="hidden" name="csrf_token" value="t0"><img src="/crops/1/2.jpg">'


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("console") / "data"
    prepare(folder, 200)
    return folder


def test_made_persons_are_seen_again_and_again_by_some_cameras(data: Path) -> None:
    engine = open_database(StorageSettings(), data=data)
    persons = SqlSummaries(engine).list_persons(after_person_id=0, limit=500)
    assert len(persons) == 200
    assert {person.num_tracklets for person in persons} == {PER_PERSON}
    assert {len(person.camids) for person in persons} <= set(range(1, CAMERAS_EACH + 1))
    assert sum(person.name != "" for person in persons) == 4


def test_made_records_hold_changes_and_an_audit_log(data: Path) -> None:
    engine = open_database(StorageSettings(), data=data)
    with engine.connect() as connection:
        assert [event.kind for event in read_events(connection, [1, 2])] == ["merge", "merge"]
        assert len(read_links(connection)) == 2
        assert len(audit_page(connection, since_us=0, after=0)) == 100


def test_made_records_are_not_made_twice(data: Path) -> None:
    before = (data / "records.db").stat().st_mtime_ns
    prepare(data, 200)
    assert (data / "records.db").stat().st_mtime_ns == before


def test_requests_name_persons_that_there_are() -> None:
    requests = page_requests(PageOfForms(), num_persons=3, camids=["c1"])  # type: ignore[arg-type]
    assert {requests["person"]().path for _ in range(50)} == {"/persons/1", "/persons/2", "/persons/3"}
    assert requests["crop"]().path == "/crops/1/2.jpg"
    assert requests["search_by_photo"]().path == "/search?photo=p0&box=whole"


def test_a_photo_is_sent_with_the_token_of_the_form() -> None:
    photo = page_requests(PageOfForms(), num_persons=3, camids=["c1"])["upload"]()  # type: ignore[arg-type]
    assert b'name="csrf_token"\r\n\r\nt0\r\n' in photo.body
    assert np.frombuffer(photo.body.partition(b"image/jpeg\r\n\r\n")[2][:2], np.uint8).tolist() == [0xFF, 0xD8]
