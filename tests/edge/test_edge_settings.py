from __future__ import annotations

from datetime import datetime, timezone

import pytest

from edge.settings import ENV_PREFIX, AgentSettings
from reid.errors import ConfigError
from reid.settings import load_settings

TOML = """
edge_id = "entrance"
server = "10.0.0.5:7443"
release = "R"

[cameras]
door = "rtsp://10.0.0.11/stream1"

[keyframes]
max_interval_s = 2.5
"""


def load(path=None, environ=None, **overrides):
    return load_settings(AgentSettings, path=path, env_prefix=ENV_PREFIX, overrides=overrides, environ=environ or {})


def minimal(**changes):
    return {"cameras": {"cam1": "video.avi"}, "server": "localhost:7443", "release": "R", **changes}


def test_flags_win_over_environment_and_file(tmp_path):
    path = tmp_path / "edge.toml"
    path.write_text(TOML)
    environ = {"OSPREY_EDGE_EDGE_ID": "garage", "OSPREY_EDGE_SERVER": "a:1", "OSPREY_EDGE_SPOOL__LIMIT_MIB": "7"}
    settings = load(path, environ, server="b:2")
    assert (settings.edge_id, settings.server, settings.spool.limit_mib) == ("garage", "b:2", 7)
    assert settings.keyframes.max_interval_s == 2.5
    assert settings.cameras == {"door": "rtsp://10.0.0.11/stream1"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cameras": {}}, "cameras"),
        ({"cameras": {"../etc": "x"}}, "letters, digits"),
        ({"edge_id": "two words"}, "edge_id"),
        ({"server": "localhost"}, "wanted HOST:PORT"),
        ({"server": "localhost:99999"}, "wanted HOST:PORT"),
        ({"start_time": "yesterday"}, "start_time"),
        ({"spool": {"limit": 3}}, "did you mean 'limit_mib'"),
        ({"camera": {"a": "b"}}, "did you mean 'cameras'"),
    ],
)
def test_bad_value_is_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        load(**minimal(**changes))


def test_host_name_is_the_default_name_of_an_edge():
    assert load(**minimal()).edge_id


def test_missing_release_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr("edge.settings.SHIPPED_RELEASE", tmp_path / "none")
    with pytest.raises(ConfigError, match="give --release DIR"):
        load(**minimal(release=None))


def test_shipped_release_is_the_default(monkeypatch, tmp_path):
    monkeypatch.setattr("edge.settings.SHIPPED_RELEASE", tmp_path)
    assert load(**minimal(release=None)).release == tmp_path


@pytest.mark.parametrize("text", ["2026-01-02T03:04:05", "2026-01-02T03:04:05Z", "2026-01-02T05:04:05+02:00"])
def test_start_time_is_utc_unless_it_names_a_zone(text):
    wanted = round(datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc).timestamp() * 1e6)
    assert load(**minimal(start_time=text)).start_time_us(now_us=1) == wanted


def test_files_start_now_by_default():
    assert load(**minimal()).start_time_us(now_us=77) == 77
