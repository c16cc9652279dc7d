"""Runs the demo: server and edges as processes, watched for a while, refreshed, watched again; truth beside it all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from demo.children import Child, Children, wait_until
from demo.errors import DemoError
from demo.plan import DemoPlan
from demo.records import Records
from demo.refresh import refresh
from demo.summary import Summary, Transfer, in_words
from demo.truth import IdentityScores, Span, score
from demo.video import video_bytes
from reid.credentials import read_credentials
from reid.files import write_atomic
from simulation.site import SimulatedSite

_SERVER_START_S = 60.0
_EDGES_START_S = 6.0
"""Until the first frame: all edges run by then, so that they see the site at the same moments."""
_SHEET_S = 60.0
_CERTIFICATE_S = 60.0
_REFRESH_S = 0.5
_SETTLE_S = 3.0
"""After a span: what was seen in it is on the server by then."""
_EDGE_END_S = 20.0
_READ_AHEAD = 5
_PRIVATE = 0o600
_ENCODED_S = 60.0
"""So much video of each camera is encoded."""


def run_demo(plan: DemoPlan, console: Console, linger: Callable[[Summary, Sequence[Child]], None] | None) -> Summary:
    """Run everything once.

    Args:
        plan: What to run.
        console: For the progress.
        linger: Called at the end, with everything running again, and what runs; nothing does when it returns.

    Raises:
        DemoError: A process failed or took too long; all are stopped by then.
    """
    with Children(plan.out) as children:
        summary, server, address = _run(plan, console, children)
        if linger is not None:
            starts_at_s = time.time() + _EDGES_START_S
            goes_on = replace(plan, has_refresh=True)  # its cameras do not end by themselves after a minute
            linger(summary, [server, *_start_edges(goes_on, children, address, starts_at_s, again="-again")])
    return summary


def _run(plan: DemoPlan, console: Console, children: Children) -> tuple[Summary, Child, str]:
    """Everything; gives the server too, which still runs, and its address."""
    began_s = time.monotonic()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("starting the server")
        show = partial(_show, progress, task)
        plan.write_configs()
        _make_certificates(plan, children)
        server = children.start("server", plan.server_command())
        address = _address(plan, server)
        starts_at_s = time.time() + _EDGES_START_S
        edges = _start_edges(plan, children, address, starts_at_s)
        credentials = read_credentials(plan.credentials)
        write_atomic(plan.token_file, f"{credentials.token}\n".encode(), mode=_PRIVATE)
        console.print(Text(console_in_words(plan)), soft_wrap=True)
        with Records(address, credentials) as records:
            visit = _Visit(plan, records, [server, *edges], starts_at_s, show)
            before = visit.watch(0.0)
            refreshed, after = None, None
            if plan.has_refresh:
                console.print(Text(f"identities before: {in_words(before)}"))
                refreshed = refresh(
                    plan, address, credentials, [server, *edges], tell=partial(_tell, console), show=show
                )
                after = visit.watch(time.time() - starts_at_s) if refreshed.outcome == "done" else None
                console.print(Text(f"identities after: {in_words(after)}" if after else refreshed.why))
            reports = _end(edges, progress, task)
            stored = records.status()
        show("drawing the contact sheet")
        children.start("sheet", plan.sheet_command(address)).wait(_SHEET_S)
        show("encoding frames as H.264")
        transfer = _transfer(plan, reports, stored=stored.num_observations)
        server.check()
    summary = Summary(
        transfer=transfer,
        before=before,
        after=after,
        refresh=refreshed,
        swap_gap_ms=max(float(report["refresh"]["gap_ms"]) for report in reports),
        sheet=plan.sheet,
        wall_s=time.monotonic() - began_s,
        seed=plan.site.seed,
        release=f"{stored.release.name} {stored.release.version}",
    )
    return summary, server, address


def console_in_words(plan: DemoPlan) -> str:
    """Where the console is, and how to log in."""
    url = plan.console_file.read_text(encoding="utf-8").strip()
    return (
        f"console: {url}, name {plan.operator}, token in {plan.token_file}; "
        f"its certificate is of the demo's own CA, {plan.data / 'security' / 'ca.crt'}"
    )


def _start_edges(
    plan: DemoPlan, children: Children, address: str, starts_at_s: float, *, again: str = ""
) -> list[Child]:
    return [
        children.start(f"edge-{camid}{again}", plan.edge_command(camid, address, starts_at_s=starts_at_s))
        for camid in plan.camids
    ]


@dataclass(frozen=True)
class _Visit:
    """The site as it is watched.

    Attributes:
        plan: What runs.
        records: What the server stores.
        children: Processes that must not fail meanwhile.
        starts_at_s: When the first frame came, Unix time.
        show: Shows what is under way.
    """

    plan: DemoPlan
    records: Records
    children: Sequence[Child]
    starts_at_s: float
    show: Callable[[str], None]

    def watch(self, from_s: float) -> IdentityScores:
        """Wait for `watch_s` of the site's time, and compare what was stored of it with the truth.

        Raises:
            DemoError: A process failed, or the edges fall too far behind.
        """
        within = Span(from_s, from_s + self.plan.watch_s)
        wait_until(
            lambda: self._is_through(within),
            self.children,
            limit_s=self.plan.limit_s,
            what="the edges send what they saw",
            every_s=_REFRESH_S,
        )
        start_us = round(self.starts_at_s * 1e6)
        return score(SimulatedSite(self.plan.played), self.records.tracklets(), start_us=start_us, within=within)

    def _is_through(self, within: Span) -> bool:
        """The time is over, or, where nothing follows, every edge has ended."""
        status = self.records.status()
        self.show(
            f"{len(self.plan.camids)} cameras: {status.num_observations:,} embeddings, "
            f"{status.num_tracklets} tracklets, {status.num_persons} persons"
        )
        if self.plan.has_refresh:
            return time.time() >= self.starts_at_s + within.end_s + _SETTLE_S
        return not any(child.is_running for child in self.children[1:])


def _end(edges: Sequence[Child], progress: Progress, task: TaskID) -> list[dict[str, Any]]:
    """Stop the edges, which send what is left; their reports."""
    progress.update(task, description="the edges end")
    for edge in edges:
        edge.stop(grace_s=_EDGE_END_S)
        edge.check()
    return [edge.report() for edge in edges]


def _show(progress: Progress, task: TaskID, words: str) -> None:
    progress.update(task, description=escape(words))


def _tell(console: Console, line: str) -> None:
    console.print(Text(line))


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


def _transfer(plan: DemoPlan, reports: Sequence[Mapping[str, Any]], *, stored: int) -> Transfer:
    def total(*keys: str) -> int:
        return sum(int(report[key]) for report in reports for key in keys)

    def of_cameras(key: str) -> int:
        return sum(int(camera[key]) for report in reports for camera in report["cameras"].values())

    faults = sum(sum(camera["faults"].values()) for report in reports for camera in report["cameras"].values())
    # An edge that is stopped lets go of the few frames that it has read ahead.
    read_ahead = _READ_AHEAD * len(plan.camids) if plan.has_refresh else 0
    encoded = plan.site.model_copy(update={"duration_s": min(plan.watch_s, _ENCODED_S)})
    return Transfer(
        frames=of_cameras("frames"),
        frames_lost=max(0, of_cameras("dropped") - read_ahead) + of_cameras("frames_skipped") + faults,
        sent=total("sent"),
        acknowledged=total("acknowledged"),
        stored=stored,
        lost=total("lost", "rejected", "spool_dropped"),
        remaining=total("remaining"),
        embedding_bytes=total("bytes_sent"),
        crop_bytes=sum(int(report["crops"]["bytes_sent"]) for report in reports),
        video_s=of_cameras("frames") / plan.site.fps_hz,
        h264_bytes_per_s=video_bytes(encoded) / (encoded.duration_s * len(plan.camids)),
    )
