"""The first page: how edges and server are, what is stored, and how long it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from reid.durations import Durations, quantile_s
from server.types import Totals
from server.web.console import Console
from server.web.edge_rows import EdgeRow, edge_rows
from server.web.rates import Rates
from server.web.remembered import Remembered
from server.web.renderer import render
from server.web.storage_use import storage_use

_TOTALS_S = 10.0
_STORAGE_S = 60.0
_MOST_LINES = 8
"""Edges in one chart, the busiest; the rest is added up."""
_P50, _P95 = 0.5, 0.95


def routes(console: Console) -> APIRouter:
    """The page `/` and the figures of its charts."""
    router = APIRouter()
    site = console.site
    totals: Remembered[Totals] = Remembered(site.summaries.totals, every_s=_TOTALS_S)
    storage = Remembered(lambda: storage_use(console.data, site.engine), every_s=_STORAGE_S)

    @router.get("/")
    def show(request: Request) -> Response:
        return render(
            request,
            "overview.html",
            edges=_edges(console),
            totals=totals.get(),
            storage=storage.get(),
            server=_server(console),
            settings=console.settings,
            release=site.served.now.release,
            threshold=site.served.now.threshold,
            run=console.runs.latest(),
            rollout=console.roller.latest,
            started_at_us=console.started_at_us,
        )

    @router.get("/rates.json")
    def rates() -> dict[str, Any]:
        return rates_chart(console.rates.history())

    @router.get("/latencies.json")
    def latencies() -> dict[str, Any]:
        return latencies_chart(console.rates.history())

    return router


def rates_chart(history: Sequence[Rates]) -> dict[str, Any]:
    """Embeddings a second of each edge, for the macro `chart`."""
    sums: dict[str, float] = {}
    for rates in history:
        for edge_id, per_s in rates.per_s.items():
            sums[edge_id] = sums.get(edge_id, 0.0) + per_s
    busiest = sorted(sorted(sums, key=lambda edge_id: -sums[edge_id])[:_MOST_LINES])
    lines = [(edge_id, [rates.per_s.get(edge_id, 0.0) for rates in history]) for edge_id in busiest]
    if len(sums) > len(busiest):
        rest = [sum(value for key, value in rates.per_s.items() if key not in busiest) for rates in history]
        lines.append((f"{len(sums) - len(busiest)} others", rest))
    return {
        **_times(history),
        "y": {"label": "embeddings", "unit": "1/s"},
        "series": [{"label": label, "values": values} for label, values in lines],
    }


def latencies_chart(history: Sequence[Rates]) -> dict[str, Any]:
    """From a batch read to its acknowledgement, for the macro `chart`."""
    return {
        **_times(history),
        "y": {"label": "until acknowledged", "unit": "ms"},
        "series": [
            {"label": "median", "values": [rates.p50_ms for rates in history]},
            {"label": "95th percentile", "values": [rates.p95_ms for rates in history]},
        ],
    }


def _times(history: Sequence[Rates]) -> dict[str, Any]:
    return {"kind": "line", "x": {"label": "time", "time": True, "values": [rates.time_us / 1e6 for rates in history]}}


def _edges(console: Console) -> list[EdgeRow]:
    fleet = console.book.fleet()
    reports = console.book.reports()
    return edge_rows(
        console.site.summaries.list_edges(),
        reports=reports,
        paces=console.book.paces(),
        attending={edge_id for edge_id in reports if fleet.is_attending(edge_id)},
        counts=dict(console.streams.edges),
        connected_camids=console.connected_camids(),
    )


def _server(console: Console) -> dict[str, Any]:
    ingest, writer = console.site.ingest, console.site.writer
    return {
        "is_failing": writer.is_failing,
        "num_queued": writer.num_queued,
        "queue_batches": writer.queue_batches,
        "num_failures": writer.counts.failures,
        "num_duplicates": ingest.counts.num_duplicates,
        "num_rejected": ingest.counts.num_rejected,
        "num_left_out": ingest.num_left_out,
        "num_prototypes": len(console.site.served.now.gallery),
        "durations": [
            ("Acknowledgement", *_quantiles_ms(console.streams.acknowledgement)),
            ("Writer's step", *_quantiles_ms(writer.counts.step)),
            ("Commit", *_quantiles_ms(ingest.counts.commit)),
        ],
    }


def _quantiles_ms(durations: Durations) -> tuple[float, float]:
    """The median and the 95th percentile."""
    cumulative = durations.cumulative()
    return 1e3 * quantile_s(cumulative, _P50), 1e3 * quantile_s(cumulative, _P95)
