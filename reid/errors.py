"""Errors of the domain. Every message names the thing, what was wanted, what came, and the way out.

    OspreyError
    ├── BoxError            a box that leaves nothing to crop
    ├── ConfigError         a key or value of a config file, environment or command line
    ├── CredentialsError    a bundle or credentials file that is damaged, readable by others or over
    ├── DetectorError       a detector model that cannot be loaded or run
    ├── EmbeddingError      vectors that are not finite, not of the right size or cannot be normalised
    ├── ImageError          bytes that are no picture
    ├── ObservationError    an observation that no server can store
    ├── SnapshotError       a set of crops to train on that is incomplete, damaged or cannot be written
    └── ReleaseError        a release folder that is incomplete or unusable
        └── ReleaseMismatchError   its content differs from its manifest, or from what was asked for

edge, server and train add their own subclasses in their `errors.py`.
"""


class OspreyError(Exception):
    """Base of all errors that Osprey raises on purpose; its text is fit to show to a user."""


class BoxError(OspreyError):
    """A box has no area inside its frame."""


class ConfigError(OspreyError):
    """A config key is unknown or its value is invalid."""


class CredentialsError(OspreyError):
    """A file with a private key is damaged, can be read by others, has ended, or is for something else."""


class DetectorError(OspreyError):
    """A detector model cannot be loaded, has an unknown output layout, or failed on a frame."""


class EmbeddingError(OspreyError):
    """Embeddings are not finite, have the wrong size, or have no direction."""


class ImageError(OspreyError):
    """A picture cannot be decoded."""


class ObservationError(OspreyError):
    """An observation is malformed: its embedding, box, quality or camera is not valid."""


class ReleaseError(OspreyError):
    """A release folder is incomplete, unreadable or cannot be run."""


class ReleaseMismatchError(ReleaseError):
    """A release's files differ from its manifest, or the release is not the one that was asked for."""


class SnapshotError(OspreyError):
    """A snapshot of crops is incomplete, damaged or of another format, or cannot be written."""
