"""Errors of the central server.

OspreyError
├── StorageError        the records cannot be read or written
│   ├── LeaseLostError  another server owns them now
│   └── GalleryError    the vector search cannot be reached
├── ProtocolError       a peer broke the rules of the stream
│   ├── VersionError    it speaks another protocol version
│   └── WindowError     it sent more than it may have un-acknowledged
├── SpaceError          an embedding of a space that this server does not serve
├── StreamReplacedError a newer stream of the same edge took over
├── StoppingError       the server is shutting down; try again later
├── SecurityError       the site's certificates or the list of who is enrolled cannot be used
├── AuthenticationError a caller is not who it must be: not enrolled, revoked, over, or without its token
├── ForbiddenError      a caller asked for something that its role or certificate does not allow
├── BusyCallerError     a caller has too many calls open
├── UnreachableError    a client got no answer from the server
├── RefusedError        a client got an answer, and it was no
├── NotFoundError       no such person, tracklet or edge
├── AdaptationError     a step of an adaptation run failed, and with it the run
└── ConflictError       a change of identities contradicts what is stored
"""

from reid.errors import OspreyError


class StorageError(OspreyError):
    """The records cannot be opened, read or written; nothing of the failed write was kept."""


class LeaseLostError(StorageError):
    """Another server took over the records; this one can write no more, and must be stopped."""


class GalleryError(StorageError):
    """The index of the gallery cannot be reached or refused a request; it is filled from the records again."""


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


class SecurityError(OspreyError):
    """The site's CA, a certificate or the list of who is enrolled is missing, damaged or does not fit."""


class AuthenticationError(OspreyError):
    """A caller's certificate or token is not of somebody who is enrolled now."""


class ForbiddenError(OspreyError):
    """A caller is known, but its role or certificate does not allow this."""


class BusyCallerError(OspreyError):
    """A caller has as many calls open as one may have."""


class UnreachableError(OspreyError):
    """A client got no answer from the server."""


class RefusedError(OspreyError):
    """The server answered a client's question with an error."""


class NotFoundError(OspreyError):
    """A person, tracklet or edge does not exist."""


class AdaptationError(OspreyError):
    """A step of an adaptation run cannot be done; the run has failed, and can be resumed."""


class ConflictError(OspreyError):
    """A change of identities that was asked for contradicts what is stored, or what was done since."""
