"""The command `osprey-edge`."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer
from rich.console import Console
from rich.live import Live

from edge import detectors
from edge.agent import Agent
from edge.backends import registry
from edge.commands_engine import engine_app
from edge.commands_release import release_app
from edge.enrolment import open_bundle
from edge.errors import SourceError, SpoolError, UplinkError
from edge.metrics import DEFAULT_LISTEN
from edge.notify import ServiceManager
from edge.progress import progress_table
from edge.report import AgentReport
from edge.settings import ENV_PREFIX, AgentSettings
from edge.sources import uri
from edge.status import DEFAULT_URL, status_view, watch
from edge.worker_thread import WorkerThread
from reid.cli import new_app, print_json, run_app
from reid.errors import ConfigError
from reid.exposition import exposed
from reid.logs import configure_logs
from reid.settings import load_settings

app = new_app("Runs beside the cameras: finds people and sends their embeddings, never the video.")
config_app = new_app("Look at configuration files.")
app.add_typer(config_app, name="config")
app.add_typer(release_app, name="release")
app.add_typer(engine_app, name="engine")

logger = structlog.get_logger(__name__)

_REFRESH_S = 0.5

_EXAMPLES = """\
Two network cameras, a small ONNX detector, until it is stopped:

  osprey-edge run --camera door=rtsp://10.0.0.11/stream1 --camera hall=rtsp://10.0.0.12/stream1 --bundle entrance.bundle --detector yolox_nano.onnx

A recorded video, nothing to download, a report at the end:

  osprey-edge run --camera cam1=walk.mp4 --start-time 2026-03-01T08:00:00Z --server 127.0.0.1:7443 --once --json

Without any camera, people of the simulated site:

  osprey-edge run --camera "c1=sim:?seed=1&camera=c1" --detector truth --server 127.0.0.1:7443 --once

Everything from a file; each flag has its key there, and OSPREY_EDGE_SERVER and the like win over the file:

  osprey-edge config validate edge.toml

  osprey-edge run --config edge.toml
"""  # noqa: E501 (a command stands in one line)


@app.command(epilog=_EXAMPLES)
def run(
    *,
    camera: Annotated[
        list[str], typer.Option(help=f"CAMID=PATH_OR_URL; may be given several times. {uri.FORMS}.")
    ] = [],  # noqa: B006
    bundle: Annotated[Path | None, typer.Option(help="File made by 'osprey-server enroll edge'.")] = None,
    server: Annotated[str | None, typer.Option(help="HOST:PORT of the central server; default: the bundle's.")] = None,
    release: Annotated[
        Path | None, typer.Option(help="Folder of the release to run; default: the shipped one.")
    ] = None,
    backend: Annotated[str | None, typer.Option(help=f"{registry.FORMS}; default: {registry.DEFAULT}.")] = None,
    detector: Annotated[str | None, typer.Option(help=f"{detectors.FORMS}; default: hog.")] = None,
    edge_id: Annotated[str | None, typer.Option(help="Name of this edge at its site.")] = None,
    spool: Annotated[Path | None, typer.Option(help="File in which observations wait for the server.")] = None,
    crops: Annotated[Path | None, typer.Option(help="Keep the best crop of each tracklet in this folder.")] = None,
    start_time: Annotated[str | None, typer.Option(help="ISO 8601 time of the first frame of files.")] = None,
    once: Annotated[bool, typer.Option("--once", help="End when all files are through and acknowledged.")] = False,
    drain_timeout: Annotated[float | None, typer.Option(help="Seconds to wait at the end, with --once.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of detector and embedder; 0: one per core.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file; flags win over it.")] = None,
    metrics: Annotated[
        str | None, typer.Option(help=f"IP:PORT for Prometheus; '' for none; default: {DEFAULT_LISTEN}.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a report as the last line on stdout.")] = False,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    log_json: Annotated[bool, typer.Option("--log-json", help="Log JSON lines.")] = False,
) -> None:
    """Run the agent until it is stopped, or with --once until all files are through."""
    overrides = {
        "cameras": _cameras(camera),
        "bundle": bundle,
        "server": server,
        "release": release,
        "backend": backend,
        "detector": detector,
        "edge_id": edge_id,
        "spool": {"path": spool},
        "crops": {"folder": crops},
        "start_time": start_time,
        "once": once or None,
        "drain_timeout_s": drain_timeout,
        "num_threads": threads,
        "metrics": {"listen": metrics},
    }
    settings = load_settings(AgentSettings, path=config, env_prefix=ENV_PREFIX, overrides=overrides)
    report = _run(settings, log_level=log_level, log_json=log_json)
    if as_json:
        print_json(report.to_json())
    if settings.once:
        _check_complete(report, settings)


@app.command()
def status(
    url: Annotated[str, typer.Option(help="Metrics page of a running agent.")] = DEFAULT_URL,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds over which rates are taken.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show how a running agent is: frames, drops, latencies, queues, spool, temperature."""
    seen = watch(url, interval_s=interval)
    if as_json:
        print_json(seen.to_json())
    else:
        Console().print(status_view(seen), soft_wrap=True)


@config_app.command()
def validate(file: Annotated[Path, typer.Argument(help="A TOML file.")]) -> None:
    """Say whether a config file, with the environment on top, is valid."""
    settings = load_settings(AgentSettings, path=file, env_prefix=ENV_PREFIX)
    settings, _ = open_bundle(settings)
    print(f"{file} is valid: edge {settings.edge_id}, {len(settings.cameras)} cameras, server {settings.server}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `osprey-edge`."""
    run_app(app, arguments)


def _cameras(flags: list[str]) -> dict[str, str]:
    cameras: dict[str, str] = {}
    for flag in flags:
        camid, separator, uri = flag.partition("=")
        if not separator or not uri:
            raise ConfigError(f"--camera {flag!r}: wanted CAMID=PATH_OR_URL, for example door=rtsp://10.0.0.11/stream1")
        if camid in cameras:
            raise ConfigError(f"--camera {camid} is given twice: each camera needs its own name")
        cameras[camid] = uri
    return cameras


def _run(settings: AgentSettings, *, log_level: str, log_json: bool) -> AgentReport:
    stop = threading.Event()
    console = Console(stderr=True)
    service = ServiceManager.of_environment(os.environ, pid=os.getpid())
    with Live(console=console, refresh_per_second=4) if console.is_terminal else _no_view() as view:
        # Inside: the live view keeps log lines above itself.
        named, _ = open_bundle(settings)
        configure_logs(level=log_level, as_json=log_json, fields={"edge_id": named.edge_id})
        agent = Agent(settings)
        try:
            with _stopped_by_signals(stop), exposed(agent.collector(), settings.metrics) as metrics_url:
                logger.info("metrics", url=metrics_url or "off")
                _watch(agent, stop, view, service)
            return agent.report()
        finally:
            agent.close()


def _watch(agent: Agent, stop: threading.Event, view: Any, service: ServiceManager) -> None:
    """Run the agent in a thread of its own, so that this one is free for signals, live view and watchdog."""
    thread = WorkerThread("agent", agent.run, stop)
    service.ready()
    while thread.is_alive:
        thread.join(_REFRESH_S)
        if stop.is_set():
            service.stopping()
        service.watch(agent.silent_s)
        if view is not None:
            view.update(progress_table(agent.report()))
    service.stopping()
    if thread.failure is not None:
        raise thread.failure


@contextmanager
def _no_view() -> Iterator[None]:
    yield None


@contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """SIGINT and SIGTERM set `stop` within the block; a second one ends the process at once."""

    def on_signal(number: int, _frame: object) -> None:
        if stop.is_set():
            sys.exit(128 + number)
        stop.set()

    former = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _check_complete(report: AgentReport, settings: AgentSettings) -> None:
    """With --once the run is a promise: every camera read, everything that was selected acknowledged.

    A video that breaks off after some frames is no error here: the log and the report name it.

    Raises:
        SourceError: A camera gave no frame at all.
        SpoolError: Observations were lost before they were on the disk.
        UplinkError: Observations remain in the spool.
    """
    for camid, camera in report.cameras.items():
        if camera.failure and not camera.frames:
            raise SourceError(f"camera {camid}: {camera.failure}")
    if report.lost:
        raise SpoolError(
            f"{report.lost} observations could not be written to {settings.spool.path}: the log above says why"
        )
    if report.remaining:
        reason = report.problem or f"not acknowledged within {settings.drain_timeout_s:g} s"
        raise UplinkError(
            f"{report.remaining} observations remain in {settings.spool.path} ({reason}); the next run sends them"
        )
