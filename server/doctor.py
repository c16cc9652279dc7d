"""What an operator checks before trusting a machine with a site; looks, and changes nothing.

Each check gives one finding: ok, warn (it runs, but) or fail (it will not run, or cannot be trusted), and what to do.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import sqlite3
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from sqlalchemy import make_url

from reid.embedder import OnnxEmbedder, check_golden
from reid.errors import OspreyError
from reid.release import Release, load_release
from server.security.authority import Authority
from server.security.certificates import end_of
from server.settings import ServerSettings, check_listen
from server.storage.database import known_versions, read_database

Verdict = Literal["ok", "warn", "fail"]
DISTRIBUTION = "osprey-reid"
_SLOW_SYNC_MS = 20.0
"""Ten steps a second, each durable before it is acknowledged, leave no more for one."""
_FEW_BYTES, _LOW_BYTES = 1 << 30, 10 << 30
"""Free space that stops a site within hours, and within days."""
_OLDEST_SQLITE = (3, 37, 0)
_SOON_DAYS = 30
_UNCALIBRATED = "not calibrated"
"""How an exported release says so itself."""
_LOW_THRESHOLD, _HIGH_THRESHOLD = 0.3, 0.99
_PATIENCE_S = 3.0


@dataclass(frozen=True)
class Finding:
    """What one check saw.

    Attributes:
        check: Its name.
        verdict: ok, warn or fail.
        seen: What was there.
        advice: What to do; empty when all is well.
    """

    check: str
    verdict: Verdict
    seen: str
    advice: str = ""


def examine(settings: ServerSettings) -> Iterator[Finding]:
    """Run all checks, one by one; a check that breaks is a finding, not an error."""
    checks: dict[str, Callable[[ServerSettings], Finding]] = {
        "libraries": check_libraries,
        "data folder": check_folder,
        "disk space": check_space,
        "SQLite": check_sqlite,
        "records": check_records,
        "release": check_release,
        "threshold": check_threshold,
        "clock": check_clock,
        "certificate": check_certificate,
        "address": check_address,
    }
    for name, check in checks.items():
        try:
            yield check(settings)
        except (OspreyError, OSError) as error:
            yield Finding(name, "fail", str(error), "see the message")


def check_libraries(_settings: ServerSettings) -> Finding:
    """Python and what the server needs, against the ranges it was made for."""
    python = f"Python {sys.version.split()[0]}, {DISTRIBUTION} {metadata.version(DISTRIBUTION)}"
    faults: list[str] = []
    for text in metadata.requires(DISTRIBUTION) or []:
        wanted = Requirement(text)
        if wanted.marker is None or wanted.marker.evaluate({"extra": "server"}):
            faults += _library_faults(wanted)
    if faults:
        return Finding("libraries", "fail", f"{python}; {'; '.join(faults)}", f"pip install '{DISTRIBUTION}[server]'")
    return Finding("libraries", "ok", python)


def check_folder(settings: ServerSettings) -> Finding:
    """The data folder can be written, and how fast a write is durable."""
    folder = _existing(settings.data)
    where = str(folder) if folder == settings.data.absolute() else f"{settings.data} (not made yet, tried in {folder})"
    try:
        sync_ms = _sync_ms(folder)
    except OSError as error:
        return Finding("data folder", "fail", f"{where}: {error.strerror}", "give the server's user the right to write")
    seen = f"{where}: durable in {sync_ms:.1f} ms"
    if sync_ms > _SLOW_SYNC_MS:
        return Finding("data folder", "warn", seen, "acknowledgements wait for this disk: use an SSD of the machine")
    return Finding("data folder", "ok", seen)


def check_space(settings: ServerSettings) -> Finding:
    """There is room for the records of some days."""
    usage = shutil.disk_usage(_existing(settings.data))
    verdict: Verdict = "fail" if usage.free < _FEW_BYTES else "warn" if usage.free < _LOW_BYTES else "ok"
    advice = "" if verdict == "ok" else "make room or shorten the retention: a full disk stops acknowledgements"
    return Finding("disk space", verdict, f"{usage.free / 1e9:.1f} of {usage.total / 1e9:.1f} GB free", advice)


def check_sqlite(_settings: ServerSettings) -> Finding:
    """SQLite is one that the records were tested with."""
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        oldest = ".".join(map(str, _OLDEST_SQLITE))
        return Finding("SQLite", "warn", sqlite3.sqlite_version, f"use {oldest} or newer, or PostgreSQL")
    return Finding("SQLite", "ok", sqlite3.sqlite_version)


def check_records(settings: ServerSettings) -> Finding:
    """The records are whole, and of a schema that this server knows."""
    url = make_url(settings.storage.url)
    if url.get_backend_name() != "sqlite":
        read_database(settings.storage, data=settings.data).dispose()
        return Finding("records", "ok", f"{url.render_as_string()} answers, schema {known_versions()[-1]}")
    path = Path((url.database or "").replace("{data}", str(settings.data)))
    if not path.is_file():
        return Finding("records", "ok", f"none yet at {path}; the first start makes them")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_PATIENCE_S)) as records:
            verdict = str(records.execute("PRAGMA quick_check(1)").fetchone()[0])
            version = str(records.execute("SELECT version_num FROM alembic_version").fetchone()[0])
    except sqlite3.Error as error:
        return Finding("records", "fail", f"{path}: {error}", "restore a backup with 'osprey-server restore'")
    return _judge_records(path, integrity=verdict, version=version)


def check_release(settings: ServerSettings) -> Finding:
    """The release is whole, and computes here what it computed where it was made."""
    release = load_release(settings.release)
    cosine = check_golden(OnnxEmbedder(release, num_threads=settings.embedder_threads), release)
    return Finding("release", "ok", f"{release.ref}: verified, golden crops at cosine {cosine:.5f}")


def check_threshold(settings: ServerSettings) -> Finding:
    """The similarity from which two tracklets are one person was measured."""
    thresholds = _manifest(settings).manifest.thresholds
    seen = f"{thresholds.match:g}: {thresholds.how}"
    if _UNCALIBRATED in thresholds.how or not _LOW_THRESHOLD <= thresholds.match <= _HIGH_THRESHOLD:
        return Finding("threshold", "warn", seen, "calibrate the release: 'osprey-train export' with a data set")
    return Finding("threshold", "ok", seen)


def check_clock(settings: ServerSettings) -> Finding:
    """The clock is kept by NTP, and not before the release was made."""
    made = _manifest(settings).folder.stat().st_mtime
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    if time.time() < made - 86_400:
        return Finding("clock", "fail", f"{now} is before the release was copied here", "set the clock, then NTP")
    synchronised = _ntp_synchronised()
    if synchronised is None:
        return Finding("clock", "warn", f"{now}; nobody here tells whether NTP keeps it", "make sure that NTP runs")
    if not synchronised:
        return Finding("clock", "warn", f"{now}, not synchronised", "run 'timedatectl set-ntp true'")
    return Finding("clock", "ok", f"{now}, kept by NTP")


def check_certificate(settings: ServerSettings) -> Finding:
    """The server can show a certificate, for some time to come."""
    if settings.insecure:
        return Finding("certificate", "warn", "none: --insecure", "use TLS before anybody else has this machine")
    authority = Authority(settings.data)
    if not authority.is_made:
        return Finding("certificate", "fail", f"none in {authority.folder}", "run 'osprey-server init' once")
    authority.server_pair()  # raises when it is damaged, or its key is open to others
    days = (end_of((authority.folder / "server.crt").read_bytes()) - time.time()) / 86_400
    if days < _SOON_DAYS:
        verdict: Verdict = "fail" if days < 0 else "warn"
        return Finding("certificate", verdict, f"ends in {days:.0f} days", "run 'osprey-server renew server'")
    return Finding("certificate", "ok", f"{days:.0f} days left")


def check_address(settings: ServerSettings) -> Finding:
    """The address is free, or a server of this site answers there."""
    host, _, port = check_listen(settings).rpartition(":")
    host = host.strip("[]")
    try:
        _try_to_listen(host, int(port))
    except OSError as error:
        if error.errno is not None and _answers(settings, host, int(port)):
            return Finding("address", "ok", f"{settings.listen}: a server answers")
        advice = "stop what listens there, or choose another address with --listen"
        return Finding("address", "fail", f"{settings.listen}: {error.strerror or error}", advice)
    return Finding("address", "ok", f"{settings.listen} is free: no server runs there now")


def _library_faults(wanted: Requirement) -> list[str]:
    try:
        came = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        return [f"{wanted.name} is missing"]
    if wanted.specifier.contains(came, prereleases=True):
        return []
    return [f"{wanted.name} {came}, wanted {wanted.specifier}"]


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def _sync_ms(folder: Path) -> float:
    """Median milliseconds until 4 KiB are on the disk."""
    durations_ms: list[float] = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(7):
            begin_s = time.perf_counter()
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
            durations_ms.append(1000 * (time.perf_counter() - begin_s))
    return statistics.median(durations_ms)


def _judge_records(path: Path, *, integrity: str, version: str) -> Finding:
    if integrity != "ok":
        return Finding("records", "fail", f"{path}: {integrity}", "restore a backup with 'osprey-server restore'")
    known = known_versions()
    if version not in known:
        advice = "a newer server made them: install that one"
        return Finding("records", "fail", f"{path}: schema {version}, this server knows up to {known[-1]}", advice)
    if version != known[-1]:
        advice = "back up before the next start, which brings them up to date"
        return Finding("records", "warn", f"{path}: whole, schema {version}, this server has {known[-1]}", advice)
    return Finding("records", "ok", f"{path}: whole, schema {version}, {path.stat().st_size / 1e6:.1f} MB")


def _manifest(settings: ServerSettings) -> Release:
    return load_release(settings.release)


def _ntp_synchronised() -> bool | None:
    """What timedatectl says; None when it is missing or does not know."""
    try:
        command = ["timedatectl", "show", "--property=NTPSynchronized", "--value"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return re.sub(r"\s", "", answer) == "yes"


def _try_to_listen(host: str, port: int) -> None:
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1)


def _answers(settings: ServerSettings, host: str, port: int) -> bool:
    """Whether something accepts connections there; with TLS, with a certificate of this site."""
    try:
        with socket.create_connection((host, port), timeout=_PATIENCE_S) as connection:
            if settings.insecure:
                return True
            context = ssl.create_default_context(cafile=str(Authority(settings.data).folder / "ca.crt"))
            context.set_alpn_protocols(["h2"])
            context.check_hostname = False  # an address to listen on is often none that the certificate names
            with context.wrap_socket(connection):
                return True
    except OSError:
        return False
