"""This edge as a member of the server's fleet: what attends, what carries out directives, and their two threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import structlog

from edge.bundle import Bundle
from edge.errors import UpdateError
from edge.fleet import FleetClient
from edge.health import EdgeHealth
from edge.releases.directives import Directives
from edge.releases.fetcher import open_line
from edge.releases.store import ReleaseStore
from edge.releases.updates import NO_ROOT, Updates
from edge.report import FleetReport
from edge.settings import AgentSettings
from edge.worker_thread import WorkerThread
from reid.errors import CredentialsError
from reid.types import ReleaseRef

logger = structlog.get_logger(__name__)

_UPDATES_FOLDER = "updates"


class Membership:
    """Built with the agent; `start` once.

    Args:
        settings: Of the agent, completed by its bundle.
        bundle: None for plain text within this machine.
        store: Held by this agent.
        runs: What runs at this moment.
        health: How the agent is.
    """

    def __init__(
        self,
        settings: AgentSettings,
        bundle: Bundle | None,
        store: ReleaseStore,
        *,
        runs: Callable[[], ReleaseRef],
        health: Callable[[], EdgeHealth],
    ) -> None:
        root = partial(read_root, settings, bundle)
        updates = Updates(
            store.folder / _UPDATES_FOLDER,
            root,
            lambda: open_line(settings.server, bundle.read() if bundle else None),
            settings.fleet.download,
        )
        self._directives = Directives(store, updates, runs)
        self._client = FleetClient(
            settings.server, settings.edge_id, health, self._directives, settings.fleet, bundle=bundle
        )
        _say_if_untrusting(root)

    @property
    def status(self) -> FleetReport:
        """What it did so far; from any thread."""
        return self._client.status

    @property
    def silent_s(self) -> float:
        """Longest time for which one of its loops has not turned, seconds; from any thread."""
        return max(self._client.heartbeat.silent_s, self._directives.heartbeat.silent_s)

    def start(self) -> list[WorkerThread]:
        """Begin to attend."""
        return [
            WorkerThread("directives", self._directives.run, threading.Event()),
            WorkerThread("fleet", self._client.run, threading.Event()),
        ]


def read_root(settings: AgentSettings, bundle: Bundle | None) -> str:
    """The first root of the site's signatures, as JSON; empty where there is none.

    Raises:
        CredentialsError: The bundle cannot be used.
        UpdateError: The file cannot be read.
    """
    if bundle is not None and (root := bundle.read().release_root):
        return root
    if settings.fleet.root is None:
        return ""
    try:
        return settings.fleet.root.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UpdateError(f"fleet.root {settings.fleet.root} cannot be read: {error}") from None


def _say_if_untrusting(root: Callable[[], str]) -> None:
    try:
        reason = "" if root() else NO_ROOT
    except CredentialsError:
        return  # the uplink says what is wrong with the bundle
    except UpdateError as error:
        reason = str(error)
    if reason:
        logger.warning(reason)
