"""The live view of an agent on a terminal: one line per camera, then the uplink, then all trouble in words."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from edge.report import AgentReport


def progress_table(report: AgentReport) -> Table:
    """Draw a report."""
    table = Table(title=f"osprey-edge {report.edge_id} · {report.duration_s:.0f} s", title_justify="left")
    table.add_column("camera")
    for heading in ("frames", "dropped", "skipped", "persons", "tracks", "selected", "faults"):
        table.add_column(heading, justify="right")
    for camid, camera in report.cameras.items():
        faults = sum(camera.faults.values())
        figures = (camera.frames, camera.dropped, camera.frames_skipped, camera.detections, camera.tracks)
        table.add_row(camid, *(f"{figure:,}" for figure in (*figures, camera.selected, faults)))
    # As Text: reasons are anybody's words, and square brackets in them are no markup.
    table.caption = Text("\n".join([_uplink_line(report), *_trouble(report)]))
    table.caption_justify = "left"
    return table


def _uplink_line(report: AgentReport) -> str:
    return (
        f"uplink {report.uplink}: {report.acknowledged:,} acknowledged, {report.remaining:,} waiting, "
        f"{report.bytes_sent / 1000:,.0f} kB sent"
    )


def _trouble(report: AgentReport) -> list[str]:
    losses = {
        "not written to the spool": report.lost,
        "dropped from the full spool since it was made": report.spool_dropped,
        "refused by the server": report.rejected,
    }
    return [
        *([f"uplink: {report.problem}"] if report.problem else []),
        *([f"update refused: {report.fleet.directive_message}"] if report.fleet.directive_state == "refused" else []),
        *(f"camera {camid}: {camera.failure}" for camid, camera in report.cameras.items() if camera.failure),
        *(f"{number:,} observations {fate}" for fate, number in losses.items() if number),
    ]
