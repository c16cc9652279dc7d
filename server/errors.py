"""Errors of the central server.

OspreyError
├── StorageError        the records cannot be read or written
├── ProtocolError       a peer broke the rules of the stream, or speaks another protocol version
├── SpaceError          an embedding of a space that this server does not serve
└── NotFoundError       no such person, tracklet or edge
"""

from reid.errors import OspreyError


class StorageError(OspreyError):
    """The records cannot be opened, read or written; nothing of the failed write was kept."""


class ProtocolError(OspreyError):
    """A peer sent a message that the protocol does not allow here, or another protocol version."""


class SpaceError(OspreyError):
    """An edge's release has another space or dimension than the one this server serves."""


class NotFoundError(OspreyError):
    """A person, tracklet or edge does not exist."""
