"""Runs the demo: server and edges as processes, watched until the edges are done, then compared with the truth."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from demo.children import Child, Children, wait_until
from demo.errors import DemoError
from demo.plan import START, DemoPlan
from demo.records import Records
from demo.summary import Summary, Transfer
from demo.truth import IdentityScores, score
from demo.video import video_bytes
from reid.credentials import read_credentials
from simulation.site import SimulatedSite

_SERVER_START_S = 60.0
_EDGES_START_S = 6.0
"""Until the first frame: all edges run by then, so that they see the site at the same moments."""
_SHEET_S = 60.0
_CERTIFICATE_S = 60.0
_REFRESH_S = 0.5


def run_demo(plan: DemoPlan, console: Console) -> Summary:
    """Run everything once.

    Args:
        plan: What to run.
        console: For the progress.

    Raises:
        DemoError: A process failed or took too long; all are stopped by then.
    """
    started_s = time.monotonic()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress, Children(plan.out) as children:
        task = progress.add_task("starting the server")
        _make_certificates(plan, children)
        server = children.start("server", plan.server_command())
        address = _address(plan, server)
        starts_at_s = time.time() + _EDGES_START_S
        edges = [
            children.start(f"edge-{camid}", plan.edge_command(camid, address, starts_at_s=starts_at_s))
            for camid in plan.camids
        ]
        with Records(address, read_credentials(plan.credentials)) as records:
            _watch(plan, server, edges, records, progress)
            reports = [edge.report() for edge in edges]
            identities, stored, release = _compare(plan, records)
        progress.update(task, description="drawing the contact sheet")
        children.start("sheet", plan.sheet_command(address)).wait(_SHEET_S)
        progress.update(task, description="encoding the same frames as H.264")
        transfer = _transfer(plan, reports, stored=stored, h264_bytes=video_bytes(plan.site))
        server.check()
    return Summary(
        transfer=transfer,
        identities=identities,
        sheet=plan.sheet,
        wall_s=time.monotonic() - started_s,
        seed=plan.site.seed,
        release=release,
    )


def _make_certificates(plan: DemoPlan, children: Children) -> None:
    make_ca, *enroll = plan.security_commands()
    children.start("certificates", make_ca).wait(_CERTIFICATE_S)
    for child in [children.start(f"enrol-{number}", command) for number, command in enumerate(enroll)]:
        child.wait(_CERTIFICATE_S)


def _address(plan: DemoPlan, server: Child) -> str:
    wait_until(lambda: plan.port_file.is_file(), [server], limit_s=_SERVER_START_S, what="the server names its port")
    text = plan.port_file.read_text(encoding="utf-8").strip()
    port = text.rpartition(":")[2]
    if not port.isdecimal():
        raise DemoError(f"{plan.port_file} says {text!r}, wanted a port")
    return f"127.0.0.1:{port}"


def _watch(plan: DemoPlan, server: Child, edges: Sequence[Child], records: Records, progress: Progress) -> None:
    """Show what arrives until all edges are done.

    Raises:
        DemoError: A process failed or took too long.
    """
    task = progress.task_ids[0]

    def is_done() -> bool:
        running = sum(edge.is_running for edge in edges)
        status = records.status()
        progress.update(
            task,
            description=f"{running} of {len(edges)} cameras running: {status.num_observations:,} embeddings, "
            f"{status.num_tracklets} tracklets, {status.num_persons} persons",
        )
        return not running

    wait_until(is_done, [server, *edges], limit_s=plan.limit_s, what="the edges end", every_s=_REFRESH_S)
    for edge in edges:
        edge.check()


def _compare(plan: DemoPlan, records: Records) -> tuple[IdentityScores, int, str]:
    """Scores, number of stored embeddings, name of the release."""
    status = records.status()
    start_us = round(START.timestamp() * 1e6)
    identities = score(SimulatedSite(plan.site), records.tracklets(), start_us=start_us)
    return identities, status.num_observations, f"{status.release.name} {status.release.version}"


def _transfer(plan: DemoPlan, reports: Sequence[Mapping[str, Any]], *, stored: int, h264_bytes: int) -> Transfer:
    def total(*keys: str) -> int:
        return sum(int(report[key]) for report in reports for key in keys)

    return Transfer(
        frames=sum(int(camera["frames"]) for report in reports for camera in report["cameras"].values()),
        expected_frames=plan.num_frames,
        sent=total("sent"),
        acknowledged=total("acknowledged"),
        stored=stored,
        lost=total("lost", "rejected", "spool_dropped"),
        remaining=total("remaining"),
        embedding_bytes=total("bytes_sent"),
        h264_bytes=h264_bytes,
    )
