"""The page that Prometheus reads: families of metrics over HTTP, from a thread of its own.

Whoever measures keeps plain numbers and builds families when the page is asked for. Nothing is registered globally. The
page holds names of edges and cameras and counts, never embeddings or pictures; it has no log-in, so it is for loopback
or a network of one's own.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from typing import TypeVar

import structlog
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from pydantic import field_validator

from reid.durations import Durations
from reid.settings import Settings

logger = structlog.get_logger(__name__)


class ExpositionSettings(Settings):
    """Where Prometheus reads the metrics."""

    listen: str
    """IP:PORT of the page http://IP:PORT/metrics; port 0 takes a free one, empty turns it off."""

    @field_validator("listen")
    @classmethod
    def _check_listen(cls, listen: str) -> str:
        if listen:
            split_listen(listen)
        return listen


def split_listen(listen: str) -> tuple[str, int]:
    """Host and port of an address to listen on.

    Raises:
        ValueError: It is no IP:PORT.
    """
    host, _, port = listen.rpartition(":")
    host = "127.0.0.1" if host == "localhost" else host.strip("[]")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"wanted IP:PORT such as 127.0.0.1:9464, or nothing to turn it off, came {listen!r}")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(f"wanted an IP address of this machine before the port, came {host!r}") from None
    return host, int(port)


@contextmanager
def exposed(collector: Collector, settings: ExpositionSettings) -> Iterator[str]:
    """Serve a collector's families during the block.

    Metrics are no reason to stop what they measure: an address that cannot be had is logged, and the block runs.

    Yields:
        The URL, or nothing when the page is off or its address cannot be had.
    """
    if not settings.listen:
        yield ""
        return
    host, port = split_listen(settings.listen)
    registry = CollectorRegistry()
    registry.register(collector)
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        logger.warning("metrics are not served", listen=settings.listen, reason=error.strerror or str(error))
        yield ""
        return
    try:
        yield f"http://{f'[{host}]' if ':' in host else host}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


Key = TypeVar("Key", bound=str | tuple[str, ...])
"""Values of a family's labels: a word for one label, anything for none."""


@dataclass(frozen=True)
class Families:
    """Makes the metric families of one program.

    Args:
        prefix: Begins every name.
    """

    prefix: str

    def counter(self, name: str, text: str, values: Mapping[Key, float], labels: Sequence[str] = ()) -> Metric:
        """Numbers that only rise while the process lives; `_total` is added to the name."""
        family = CounterMetricFamily(f"{self.prefix}_{name}", text, labels=labels)
        for key, value in values.items():
            family.add_metric(_words(key, labels), value)
        return family

    def gauge(self, name: str, text: str, values: Mapping[Key, float], labels: Sequence[str] = ()) -> Metric:
        """Numbers that rise and fall."""
        family = GaugeMetricFamily(f"{self.prefix}_{name}", text, labels=labels)
        for key, value in values.items():
            family.add_metric(_words(key, labels), value)
        return family

    def info(self, name: str, text: str, labels: Mapping[str, str]) -> Metric:
        """Words, as the labels of a 1."""
        return self.gauge(name, text, {tuple(labels.values()): 1}, list(labels))

    def histogram(self, name: str, text: str, values: Mapping[Key, Durations], labels: Sequence[str] = ()) -> Metric:
        """Durations by bucket; the name ends in `_seconds`."""
        family = HistogramMetricFamily(f"{self.prefix}_{name}", text, labels=labels)
        for key, durations in values.items():
            rows = [("+Inf" if bound_s == inf else str(bound_s), count) for bound_s, count in durations.cumulative()]
            family.add_metric(_words(key, labels), buckets=rows, sum_value=durations.total_s)
        return family


def _words(key: str | tuple[str, ...], labels: Sequence[str]) -> list[str]:
    if not labels:
        return []
    return [key] if isinstance(key, str) else list(key)
