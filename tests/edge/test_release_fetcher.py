from __future__ import annotations

import threading
import time

import pytest
from fakes_fleet_service import FakeFleet
from tuf.api.exceptions import DownloadError, DownloadHTTPError, DownloadLengthMismatchError, SlowRetrievalError

from edge.releases.fetcher import DownloadSettings, GrpcFetcher, UnwantedError

CONTENT = bytes(range(256)) * 4096  # 1 MiB
TARGET, METADATA = "targets/space/model.onnx", "metadata/timestamp.json"


@pytest.fixture
def server():
    server = FakeFleet({TARGET: CONTENT, METADATA: CONTENT})
    yield server
    server.stop()


@pytest.fixture
def fetch(tmp_path, server):
    """Fetches a file and returns its content."""

    def fetch_file(url, *, is_wanted=lambda: True, **settings):
        with server.line() as download:
            pace = DownloadSettings(**{"share": 1.0, **settings})
            fetcher = GrpcFetcher(download, tmp_path / "partial", pace, is_wanted=is_wanted)
            return fetcher.download_bytes(url, len(CONTENT))

    return fetch_file


@pytest.mark.parametrize("url", [TARGET, METADATA])
def test_a_file_arrives_whole_and_leaves_no_part_behind(fetch, tmp_path, url):
    assert fetch(url) == CONTENT
    assert not list((tmp_path / "partial").glob("*"))


def test_a_target_goes_on_where_the_line_broke(fetch, server):
    server.break_after = 600_000
    with pytest.raises(DownloadError, match="UNAVAILABLE: line broke"):
        fetch(TARGET)
    assert fetch(TARGET) == CONTENT
    (_, first), (_, second) = server.asked
    assert first == 0
    assert 600_000 <= second < len(CONTENT)


def test_a_part_that_is_whole_is_not_asked_for_again(fetch, server, tmp_path):
    server.break_after = len(CONTENT) - 1
    server.chunk_bytes = len(CONTENT)
    fetch(TARGET)
    assert len(server.asked) == 1


@pytest.mark.parametrize("url", [TARGET, METADATA])
def test_more_than_agreed_ends_the_download(fetch, server, url, tmp_path):
    server.endless.add(url)
    with pytest.raises(DownloadLengthMismatchError):
        fetch(url)
    assert all(path.stat().st_size == 0 for path in (tmp_path / "partial").glob("*"))


def test_a_missing_file_is_said_as_such(fetch):
    with pytest.raises(DownloadHTTPError, match="is not there") as caught:
        fetch("metadata/2.root.json")
    assert caught.value.status_code == 404


def test_a_server_that_is_away_is_no_verdict(fetch, server):
    server.is_away = True
    with pytest.raises(DownloadError, match="UNAVAILABLE") as caught:
        fetch(TARGET)
    assert type(caught.value) is DownloadError


def test_a_slow_server_is_left_within_the_patience(fetch, server):
    server.chunk_bytes, server.pause_s = 1000, 0.05
    begun_s = time.monotonic()
    with pytest.raises(SlowRetrievalError, match="wanted 512 KiB/s"):
        fetch(TARGET, least_kib_s=512.0)
    assert time.monotonic() - begun_s < 20


def test_a_download_ends_when_it_is_not_wanted_any_more(fetch, server):
    server.pause_s = 60.0
    wanted = threading.Event()
    threading.Timer(0.2, wanted.set).start()
    begun_s = time.monotonic()
    with pytest.raises(UnwantedError, match="called off"):
        fetch(TARGET, is_wanted=lambda: not wanted.is_set())
    assert time.monotonic() - begun_s < 20


def test_the_line_is_left_free_for_a_share_of_the_time(fetch, server):
    server.chunk_bytes, server.pause_s = 16 << 10, 0.005  # 0.32 s without a pause of ours
    begun_s = time.monotonic()
    fetch(TARGET, share=0.2)
    assert time.monotonic() - begun_s > 0.8
