"""Completes the settings of an agent by the bundle that they name."""

from __future__ import annotations

from edge.bundle import Bundle
from edge.settings import AgentSettings
from reid.channel import check_plain
from reid.credentials import read_credentials


def open_bundle(settings: AgentSettings) -> tuple[AgentSettings, Bundle | None]:
    """Complete the settings by the bundle that they name.

    Returns:
        Settings with the bundle's edge_id and server where none were given; the bundle, None for plain text.

    Raises:
        CredentialsError: The bundle cannot be read, or is for another edge or other cameras. One that has ended is
            accepted: the edge then fills its spool and says why.
        ConfigError: There is no bundle, and the server is another machine.
    """
    if settings.bundle is None:
        check_plain(settings.server)
        return settings, None
    credentials = read_credentials(settings.bundle)
    given = settings.model_fields_set
    edge_id = settings.edge_id if "edge_id" in given else credentials.name
    completed = settings.model_copy(update={"edge_id": edge_id, "server": settings.server or credentials.server})
    credentials.check_edge(edge_id, list(settings.cameras))
    return completed, Bundle(settings.bundle, edge_id, list(settings.cameras))
