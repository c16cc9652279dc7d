from __future__ import annotations

from collections.abc import Iterator
from urllib.request import urlopen

import pytest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from pydantic import ValidationError

from reid.durations import Durations
from reid.exposition import ExpositionSettings, Families, exposed

FREE_PORT = ExpositionSettings(listen="127.0.0.1:0")
FAMILIES = Families("osprey_test")


class TwoFamilies(Collector):
    def collect(self) -> Iterator[Metric]:
        durations = Durations()
        durations.add(0.02)
        yield FAMILIES.counter("drops", "Text.", {("c1", "late"): 3}, ["camid", "reason"])
        yield FAMILIES.histogram("step_seconds", "Text.", {"": durations})


def test_a_page_is_served_while_the_block_runs() -> None:
    with exposed(TwoFamilies(), FREE_PORT) as url:
        page = urlopen(url, timeout=5).read().decode()
    assert 'osprey_test_drops_total{camid="c1",reason="late"} 3.0' in page
    assert 'osprey_test_step_seconds_bucket{le="0.025"} 1.0' in page
    with pytest.raises(OSError, match="refused"):
        urlopen(url, timeout=5)


def test_an_empty_address_serves_nothing() -> None:
    with exposed(TwoFamilies(), ExpositionSettings(listen="")) as url:
        assert url == ""


def test_a_taken_port_stops_nothing() -> None:
    with exposed(TwoFamilies(), FREE_PORT) as url:
        taken = ExpositionSettings(listen=url.removeprefix("http://").removesuffix("/metrics"))
        with exposed(TwoFamilies(), taken) as second:
            assert second == ""


@pytest.mark.parametrize("listen", ["9464", "host.example:9464", "127.0.0.1:99999", "127.0.0.1:x"])
def test_a_wrong_address_is_named(listen: str) -> None:
    with pytest.raises(ValidationError, match="wanted"):
        ExpositionSettings(listen=listen)
