"""How a running agent is: its metrics page read twice, the difference as rates, put into a table."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families
from rich.console import Group
from rich.table import Table
from rich.text import Text

from edge.errors import StatusError
from edge.metrics import DEFAULT_LISTEN
from reid.durations import quantile_s

DEFAULT_URL = f"http://{DEFAULT_LISTEN}/metrics"
_PREFIX = "osprey_edge_"


@dataclass(frozen=True)
class Page:
    """The samples of a metrics page.

    Attributes:
        samples: Value by name and sorted labels.
    """

    samples: Mapping[tuple[str, tuple[tuple[str, str], ...]], float]

    def by_labels(self, name: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of every sample of this name."""
        return [(dict(labels), value) for (of, labels), value in self.samples.items() if of == _PREFIX + name]

    def by(self, label: str, name: str) -> dict[str, float]:
        """Values of a name, by one label."""
        return {labels[label]: value for labels, value in self.by_labels(name)}

    def value(self, name: str) -> float | None:
        """The value of a name without labels, or None when there is none at the moment."""
        return self.samples.get((_PREFIX + name, ()))


@dataclass(frozen=True, kw_only=True)
class CameraStatus:
    """One camera; counts are of this run.

    Attributes:
        is_up: It is not lost and did not fail.
        frames: That it gave.
        frames_per_s: Over the interval.
        stride: One of so many frames is looked at.
        waiting: Frames that were read and wait.
        drops: What was left out, by reason.
        selected: Observations worth sending.
    """

    is_up: bool
    frames: int
    frames_per_s: float
    stride: int
    waiting: int
    drops: Mapping[str, int]
    selected: int


@dataclass(frozen=True, kw_only=True)
class EdgeStatus:
    """One agent.

    Attributes:
        edge_id: Its name.
        release: What it runs.
        backend: By what.
        precision: In which arithmetic.
        uptime_s: Since it started.
        uplink: State of the uplink.
        cameras: By camid.
        stages_ms: Median and 99th percentile of each stage since the start, estimated from buckets.
        crops_per_batch: Mean since the start.
        joined_share: Share of the batches that held crops of several cameras.
        embed_queued: Frames whose crops wait to be embedded.
        queued: Observations that wait in memory.
        spool_depth: Observations that wait on the disk.
        spool_age_s: Since the oldest of these was captured; None when there is none.
        lost: Observations lost, by reason.
        acknowledged: Observations taken over by the server.
        bytes_sent: All messages to the server.
        bytes_per_s: Over the interval.
        temperatures_c: By thermal zone; empty where none can be read.
        release_phase: How far a change of the release is.
        release_swaps: Changes so far, roll-backs included.
        release_gap_ms: For how long crops waited and no batch came out while the last release was installed, at most.
        fleet: State of the stream to the server's fleet; `off` without one.
        directive_state: How the server's newest directive stands.
        crops_kept: Crops on that machine that the server may ask for.
        crops_kept_bytes: What they take of its disk.
        crops_expired: Crops that went since the start, by age or for newer ones.
        crops_lost: Crops that could not be kept.
        crop_answers: Crops that the server asked for, by what became of them.
        crop_bytes_sent: All answers.
        throttling: How far parts of the machine are slowed down to cool them, in [0, 1], by kind of device.
    """

    edge_id: str
    release: str
    backend: str
    precision: str
    uptime_s: float
    uplink: str
    cameras: Mapping[str, CameraStatus]
    stages_ms: Mapping[str, tuple[float, float]]
    crops_per_batch: float
    joined_share: float
    embed_queued: int
    queued: int
    spool_depth: int
    spool_age_s: float | None
    lost: Mapping[str, int]
    acknowledged: int
    bytes_sent: int
    bytes_per_s: float
    temperatures_c: Mapping[str, float]
    release_phase: str
    release_swaps: int
    release_gap_ms: float
    fleet: str
    directive_state: str
    crops_kept: int
    crops_kept_bytes: int
    crops_expired: int
    crops_lost: int
    crop_answers: Mapping[str, int]
    crop_bytes_sent: int
    throttling: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """As nested dicts of plain values, ready for JSON."""
        return asdict(self)


def read_page(url: str, *, timeout_s: float = 5.0) -> Page:
    """Fetch the metrics of a running agent.

    Raises:
        StatusError: Nothing answers, or no agent.
    """
    way_out = "is 'osprey-edge run' running there, with this address as its metrics.listen?"
    if not url.startswith(("http://", "https://")):
        raise StatusError(f"{url!r} is no address of a metrics page: wanted http://HOST:PORT/metrics")
    try:
        with urlopen(url, timeout=timeout_s) as answer:
            text = answer.read().decode()
        families = list(text_string_to_metric_families(text))
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise StatusError(f"no metrics at {url} ({reason}): {way_out}") from None
    samples = {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}
    page = Page(samples)
    if not page.by_labels("info"):
        raise StatusError(f"{url} answers, but is no agent's metrics page: {way_out}")
    return page


def watch(url: str, *, interval_s: float, sleep: Callable[[float], None] = time.sleep) -> EdgeStatus:
    """Read an agent's page twice.

    Raises:
        StatusError: It cannot be read.
    """
    former = read_page(url)
    sleep(interval_s)
    return to_status(read_page(url), former, now_s=time.time())


def to_status(page: Page, former: Page, *, now_s: float) -> EdgeStatus:
    """Put two pages of one agent into words.

    Args:
        page: The later one.
        former: The earlier one.
        now_s: When the later one was read, seconds since the Unix epoch.
    """
    (info, _), *_rest = page.by_labels("info")
    uptime_s = page.value("uptime_seconds_total") or 0.0
    between_s = uptime_s - (former.value("uptime_seconds_total") or 0.0)
    oldest_s = page.value("spool_oldest_timestamp_seconds")
    batches = max(1, _count(page, "embed_batches_total"))
    bytes_sent, bytes_before = (_count(p, "sent_bytes_total") for p in (page, former))
    return EdgeStatus(
        edge_id=info["edge_id"],
        release=info["release"],
        backend=info["backend"],
        precision=info["precision"],
        uptime_s=round(uptime_s, 1),
        uplink=next((state for state, value in page.by("state", "uplink_state").items() if value), "unknown"),
        cameras=_cameras(page, former, between_s),
        stages_ms=_stages_ms(page),
        crops_per_batch=round(_count(page, "embed_crops_total") / batches, 2),
        joined_share=round(_count(page, "embed_batches_joined_total") / batches, 3),
        embed_queued=_count(page, "embed_queue_depth"),
        queued=_count(page, "outbox_depth"),
        spool_depth=_count(page, "spool_depth"),
        spool_age_s=None if oldest_s is None else round(now_s - oldest_s, 1),
        lost={reason: int(number) for reason, number in page.by("reason", "observations_lost_total").items()},
        acknowledged=_count(page, "observations_acknowledged_total"),
        bytes_sent=bytes_sent,
        bytes_per_s=_rate(bytes_sent - bytes_before, between_s),
        temperatures_c=page.by("zone", "temperature_celsius"),
        release_phase=_word(page, "phase", "release_phase", "unknown"),
        release_swaps=_count(page, "release_swaps_total"),
        release_gap_ms=round(1000 * (page.value("release_gap_seconds") or 0.0), 1),
        fleet=_word(page, "state", "fleet_state", "off"),
        directive_state=_word(page, "state", "directive_state", "none"),
        crops_kept=_count(page, "crops_kept"),
        crops_kept_bytes=_count(page, "crops_kept_bytes"),
        crops_expired=_count(page, "crops_expired_total"),
        crops_lost=_count(page, "crops_lost_total"),
        crop_answers={outcome: int(number) for outcome, number in page.by("outcome", "crop_answers_total").items()},
        crop_bytes_sent=_count(page, "crop_sent_bytes_total"),
        throttling=page.by("device", "throttling_ratio"),
    )


def status_view(status: EdgeStatus) -> Group:
    """Draw a status for a terminal."""
    age = "" if status.spool_age_s is None else f", oldest captured {status.spool_age_s:,.0f} s ago"
    slowed = _listed(status.throttling, "nothing" if status.throttling else "not readable")
    lines = [
        f"{status.edge_id} · {status.release} · {status.backend} {status.precision} · up {status.uptime_s:,.0f} s",
        f"change of the release: {status.release_phase} · {status.release_swaps:,} swaps · crops waited at the last "
        f"one for {status.release_gap_ms:g} ms at most · fleet {status.fleet}, directive {status.directive_state}",
        f"uplink {status.uplink} · {status.acknowledged:,} acknowledged · {status.bytes_sent:,} bytes sent, "
        f"{status.bytes_per_s:,.0f}/s",
        f"spool {status.spool_depth:,} waiting{age} · {status.queued:,} in memory · lost: {_listed(status.lost)}",
        f"crops {status.crops_kept:,} kept ({status.crops_kept_bytes:,} bytes), {status.crops_expired:,} expired, "
        f"{status.crops_lost:,} lost · asked for: {_listed(status.crop_answers)} · {status.crop_bytes_sent:,} bytes up",
        f"embedding {status.embed_queued:,} waiting · {status.crops_per_batch:g} crops a batch · "
        f"{status.joined_share:.0%} of the batches from several cameras",
        f"temperature: {_listed(status.temperatures_c, 'not readable')} · slowed down: {slowed}",
    ]
    return Group(Text("\n".join(lines)), _camera_table(status), _stage_table(status))


def _cameras(page: Page, former: Page, between_s: float) -> dict[str, CameraStatus]:
    frames, before = page.by("camid", "frames_total"), former.by("camid", "frames_total")
    selected, up = page.by("camid", "selected_total"), page.by("camid", "camera_up")
    strides, waiting = page.by("camid", "frame_stride"), page.by("camid", "inbox_depth")
    drops: dict[str, dict[str, int]] = {camid: {} for camid in frames}
    for labels, number in page.by_labels("drops_total"):
        drops[labels["camid"]][labels["reason"]] = int(number)
    return {
        camid: CameraStatus(
            is_up=bool(up[camid]),
            frames=int(number),
            frames_per_s=_rate(number - before.get(camid, 0.0), between_s),
            stride=int(strides[camid]),
            waiting=int(waiting[camid]),
            drops=drops[camid],
            selected=int(selected[camid]),
        )
        for camid, number in frames.items()
    }


def _stages_ms(page: Page) -> dict[str, tuple[float, float]]:
    buckets: dict[str, list[tuple[float, int]]] = {}
    for labels, count in page.by_labels("stage_seconds_bucket"):
        buckets.setdefault(labels["stage"], []).append((float(labels["le"]), int(count)))
    return {
        stage: (round(1000 * quantile_s(sorted(rows), 0.5), 3), round(1000 * quantile_s(sorted(rows), 0.99), 3))
        for stage, rows in buckets.items()
    }


def _word(page: Page, label: str, name: str, otherwise: str) -> str:
    """The one of several states that holds."""
    return next((word for word, value in page.by(label, name).items() if value), otherwise)


def _count(page: Page, name: str) -> int:
    return int(page.value(name) or 0)


def _rate(number: float, between_s: float) -> float:
    return round(number / between_s, 2) if between_s > 0 else 0.0


def _listed(numbers: Mapping[str, float], otherwise: str = "nothing") -> str:
    return ", ".join(f"{number:g} {name}" for name, number in numbers.items() if number) or otherwise


def _camera_table(status: EdgeStatus) -> Table:
    headings = ("camera", "up", "frames/s", "one of", "waiting", "frames", "left out", "selected")
    table = Table(*headings, box=None, header_style="bold")
    for camid, camera in status.cameras.items():
        up = "yes" if camera.is_up else "no"
        cells = (f"{camera.frames_per_s:.1f}", f"{camera.stride}", f"{camera.waiting}", f"{camera.frames:,}")
        table.add_row(camid, up, *cells, _listed(camera.drops), f"{camera.selected:,}")
    return table


def _stage_table(status: EdgeStatus) -> Table:
    table = Table("stage", "p50 ms", "p99 ms", box=None, header_style="bold")
    for stage, (median, late) in status.stages_ms.items():
        table.add_row(stage, f"{median:.2f}", f"{late:.2f}")
    return table
