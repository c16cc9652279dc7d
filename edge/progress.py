"""The live view of an agent on a terminal: one line per camera, one for the uplink."""

from __future__ import annotations

from rich.table import Table

from edge.report import AgentReport


def progress_table(report: AgentReport) -> Table:
    """Draw a report."""
    table = Table(title=f"osprey-edge {report.edge_id} · {report.duration_s:.0f} s", title_justify="left")
    table.add_column("camera")
    for heading in ("frames", "dropped", "persons", "tracks", "selected", "faults"):
        table.add_column(heading, justify="right")
    for camid, camera in report.cameras.items():
        faults = sum(camera.faults.values())
        figures = (camera.frames, camera.dropped, camera.detections, camera.tracks, camera.selected, faults)
        table.add_row(camid, *(f"{figure:,}" for figure in figures))
    table.caption = (
        f"uplink {report.uplink}: {report.acknowledged:,} acknowledged, {report.remaining:,} waiting, "
        f"{report.bytes_sent / 1000:,.0f} kB sent{': ' + report.problem if report.problem else ''}"
    )
    table.caption_justify = "left"
    return table
