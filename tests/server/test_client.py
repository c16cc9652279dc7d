from __future__ import annotations

import pytest

from server.client import SearchClient
from server.errors import UnreachableError


def test_a_server_that_is_down_is_named_with_the_way_out() -> None:
    with (
        SearchClient("127.0.0.1:1", timeout_s=5) as client,
        pytest.raises(UnreachableError, match=r"no answer from a server at 127\.0\.0\.1:1 .*osprey-server run"),
    ):
        client.status()
    with SearchClient("127.0.0.1:1", timeout_s=5) as client, pytest.raises(UnreachableError):
        list(client.iter_tracklets())
