"""Results of `benchmarks.latency` as Markdown, and where they stand in a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reid.files import write_atomic

BEGIN, END = "<!-- latency: written by the benchmark from here -->", "<!-- latency: to here -->"
Details = Mapping[str, Any]


def markdown(figures: Mapping[str, float], details: Details) -> str:
    """All tables, in the order of the page."""
    sections = (_figures(figures, details), _times("model", details), _times("crops", details), _preprocess(details))
    more = (_streams(details), _swaps(details), _costs(details), _missing(details))
    return "\n".join(line for section in (*sections, *more) for line in section)


def insert(page: Path, text: str) -> None:
    """Put a text between the marks of a page.

    Raises:
        ValueError: The page has no marks, or in the wrong order.
    """
    content = page.read_text(encoding="utf-8")
    before, begin, rest = content.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} lacks {BEGIN!r} and then {END!r}: put them where the tables shall stand")
    write_atomic(page, f"{before}{BEGIN}\n{text}\n{END}{after}".encode())


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """A Markdown table, and an empty line; numbers get three digits."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(_cell(value) for value in row)} |"
    yield ""


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


_AIMS = {
    "speedup_b1": ("crop to embedding, batch 1, times the eager extractor's rate", ">= 10"),
    "speedup_b32": ("likewise, batch 32", ">= 8"),
    "cosine_min": ("least cosine to fp32", ">= 0.999"),
    "preprocess_ms": ("preprocessing of a crop, ms", "< 0.05"),
    "swap_gap_ms": ("longest gap between two batches during an install, ms", "< 40"),
    "frame_to_ack_p99_ms_1cam": ("frame to acknowledgement, 1 camera, p99, ms", ""),
    "frame_to_ack_p99_ms_4cam": ("likewise, 4 cameras", ""),
    "frame_to_ack_p99_ms_8cam": ("likewise, 8 cameras", ""),
}


def _figures(figures: Mapping[str, float], details: Details) -> Iterator[str]:
    yield f"Headline: `{details['best']}`, {details['release']}."
    yield ""
    rows = [
        (what, f"{figures[name]:.5f}" if name == "cosine_min" else float(figures[name]), aim, f"`{name}`")
        for name, (what, aim) in _AIMS.items()
        if name in figures
    ]
    yield from table(("what", "measured", "aim", "figure"), rows)


_TITLES = {
    "model": "Model alone, ms a batch: p50 / p99, and crops a second at the largest batch",
    "crops": "Decoded frame with boxes to embeddings, ms a batch: p50 / p99, and crops a second at the largest batch",
}


def _times(part: str, details: Details) -> Iterator[str]:
    by_batch: Mapping[str, Mapping[str, Mapping[str, float]]] = details.get(part, {})
    if not by_batch:
        return
    names = list(dict.fromkeys(name for times in by_batch.values() for name in times))
    rows = []
    for name in names:
        spreads = {batch: times[name] for batch, times in by_batch.items() if name in times}
        cells = [_pair(spreads[batch]) if batch in spreads else "" for batch in by_batch]
        most = max(spreads, key=int)
        rows.append((name, *cells, 1e3 * int(most) / spreads[most]["p50_ms"]))
    yield f"**{_TITLES[part]}**"
    yield ""
    yield from table(("", *by_batch, "crops/s"), rows)


def _pair(spread: Mapping[str, float]) -> str:
    return f"{_cell(float(spread['p50_ms']))} / {_cell(float(spread['p99_ms']))}"


def _preprocess(details: Details) -> Iterator[str]:
    by_height = details.get("preprocess", {}).get("ms_by_height", {})
    if by_height:
        yield "**Preprocessing by the height of the person** (boxes 0.4 as wide), ms a crop"
        yield ""
        yield from table([f"{height} px" for height in by_height], [list(map(float, by_height.values()))])


def _streams(details: Details) -> Iterator[str]:
    streams: Mapping[str, Mapping[str, Any]] = details.get("streams", {})
    if not streams:
        return
    yield "**Frame to acknowledgement**, ms"
    yield ""
    head = ("cameras", "p50", "p90", "p99", "max", "own frame p50 / p99", "observations/s", "frames skipped or dropped")
    rows = [
        (
            number,
            *(float(run["frame"][key]) for key in ("p50_ms", "p90_ms", "p99_ms", "max_ms")),
            _pair(run["view"]),
            float(run["observations_per_s"]),
            f"{(run['frames_skipped'] + run['frames_dropped']) / max(1, run['frames_sent']):.1%}",
        )
        for number, run in streams.items()
    ]
    yield from table(head, rows)


def _swaps(details: Details) -> Iterator[str]:
    swaps: Mapping[str, Mapping[str, Mapping[str, Any]]] = details.get("swaps", {})
    if not swaps:
        return
    yield "**Swap of the release under load**"
    yield ""
    head = ("", "way", "installs", "longest gap, ms", "gap without install, ms", "prepared in, s", "failed batches")
    rows = [
        (
            name,
            way,
            len(run["gaps_ms"]),
            float(run["gap_ms"]),
            float(run["calm_gap_ms"]),
            float(max(run["prepare_s"])),
            run["failed_batches"],
        )
        for name, ways in swaps.items()
        for way, run in ways.items()
    ]
    yield from table(head, rows)


def _costs(details: Details) -> Iterator[str]:
    memory: Mapping[str, Mapping[str, float]] = details.get("memory", {})
    energy: Mapping[str, Mapping[str, float]] = details.get("energy", {})
    if not memory:
        return
    yield "**Memory, start, energy**"
    yield ""
    head = ("", "resident, MiB", "of these by the network", "open, s", *(f"mJ a crop, {meter}" for meter in energy))
    rows = [
        (
            name,
            float(one["resident_mib"]),
            float(one["added_mib"]),
            float(one["open_s"]),
            *(float(by_name[name]) if name in by_name else "" for by_name in energy.values()),
        )
        for name, one in memory.items()
    ]
    yield from table(head, rows)


def _missing(details: Details) -> Iterator[str]:
    missing: Mapping[str, str] = details.get("missing", {})
    if missing:
        yield "**Not measured**"
        yield ""
        for name, reason in missing.items():
            yield f"- {name}: {' '.join(reason.split())}"
        yield ""
