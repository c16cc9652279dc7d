from __future__ import annotations

from pathlib import Path

import pytest

from reid.errors import ConfigError
from reid.settings import load_settings
from server.settings import ENV_PREFIX, ServerSettings, check_listen


@pytest.mark.parametrize("listen", ["127.0.0.1:7070", "localhost:0", "[::1]:5", "127.8.9.1:65535"])
def test_loopback_may_be_listened_on(listen: str) -> None:
    assert check_listen(ServerSettings(data=Path("d"), listen=listen)) == listen


@pytest.mark.parametrize("listen", ["0.0.0.0:7070", "[::]:1", "192.168.1.4:7070", "host.example:1"])
def test_other_addresses_need_tls(listen: str) -> None:
    with pytest.raises(ConfigError, match=r"with --insecure anybody"):
        check_listen(ServerSettings(data=Path("d"), listen=listen, insecure=True))
    assert check_listen(ServerSettings(data=Path("d"), listen=listen)) == listen


@pytest.mark.parametrize("listen", ["7070", "127.0.0.1", "127.0.0.1:", "127.0.0.1:70000", ":7070"])
def test_what_is_no_address_is_refused(listen: str) -> None:
    with pytest.raises(ConfigError, match="wanted HOST:PORT"):
        check_listen(ServerSettings(data=Path("d"), listen=listen))


def test_a_file_sets_every_level(tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    path.write_text('data = "d"\n[matching]\nwindow_s = 60\n[matching.maturity]\nobservations = 5\n')
    settings = load_settings(ServerSettings, path=path, env_prefix=ENV_PREFIX, environ={})
    assert (settings.matching.window_s, settings.matching.maturity.observations) == (60, 5)


def test_a_misspelt_key_is_named_with_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    path.write_text('data = "d"\n[streams]\nwindow_batch = 3\n')
    with pytest.raises(ConfigError, match=r"'streams.window_batch': did you mean 'window_batches'"):
        load_settings(ServerSettings, path=path, env_prefix=ENV_PREFIX, environ={})
