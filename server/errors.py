"""Errors of the central server.

OspreyError
├── StorageError        the records cannot be read or written
├── ProtocolError       a peer broke the rules of the stream
│   ├── VersionError    it speaks another protocol version
│   └── WindowError     it sent more than it may have un-acknowledged
├── SpaceError          an embedding of a space that this server does not serve
├── StreamReplacedError a newer stream of the same edge took over
├── StoppingError       the server is shutting down; try again later
├── UnreachableError    a client got no answer from the server
├── RefusedError        a client got an answer, and it was no
└── NotFoundError       no such person, tracklet or edge
"""

from reid.errors import OspreyError


class StorageError(OspreyError):
    """The records cannot be opened, read or written; nothing of the failed write was kept."""


class ProtocolError(OspreyError):
    """A peer sent a message that the protocol does not allow here."""


class VersionError(ProtocolError):
    """A peer speaks another version of the protocol."""


class WindowError(ProtocolError):
    """A peer did not wait for acknowledgements."""


class SpaceError(OspreyError):
    """An edge's release has another space or dimension than the one this server serves."""


class StreamReplacedError(OspreyError):
    """A newer stream of the same edge took over from this one."""


class StoppingError(OspreyError):
    """The server is shutting down; what it acknowledged is durable, the rest is to be sent again."""


class UnreachableError(OspreyError):
    """A client got no answer from the server."""


class RefusedError(OspreyError):
    """The server answered a client's question with an error."""


class NotFoundError(OspreyError):
    """A person, tracklet or edge does not exist."""
