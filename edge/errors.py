"""Errors of the edge agent.

OspreyError
├── BackendError    a back end is not installed, or does not run on this machine
│   └── DeviceMemoryError  its device has no memory left for one more engine
├── InstallError    a release cannot be installed or rolled back
│   └── InstallBusyError   another one is under way: again later
├── RingError       a kept crop cannot be stored or read; costs that crop
├── SourceError     a camera, video or folder that cannot be opened or read
│   └── BrokenFrameError   one frame of it; the next may be whole
├── SpoolError      the spool's file cannot be opened, or a write did not become durable
├── StatusError     a running agent's metrics cannot be read
├── UpdateError     a release of the server is not taken: its signatures, its content or its pace are not as agreed
│   └── UpdateDelayedError  the server cannot be reached: again later
└── UplinkError     the server refused this edge; trying again will not help
"""

from reid.errors import OspreyError


class BackendError(OspreyError):
    """A back end is not installed, or does not run on this machine."""


class DeviceMemoryError(BackendError):
    """The device has no memory left for one more engine; with another one closed it may have."""


class InstallError(OspreyError):
    """A release cannot be installed or rolled back; what ran before runs on."""


class RingError(OspreyError):
    """Kept crops cannot be stored or read; nothing but crops is lost by it."""


class InstallBusyError(InstallError):
    """Another request is under way; the same one may be taken later."""


class SourceError(OspreyError):
    """A frame source cannot be opened, stalled, or broke off."""


class BrokenFrameError(SourceError):
    """One frame or packet cannot be decoded; the source may be read on."""


class SpoolError(OspreyError):
    """The spool cannot be opened, or a write failed; nothing of that write was kept."""


class StatusError(OspreyError):
    """No agent answers at the address of its metrics, or what answers is none."""


class UpdateError(OspreyError):
    """A release of the server is not taken; what runs runs on."""


class UpdateDelayedError(UpdateError):
    """It cannot be had at the moment; the same again may work."""


class UplinkError(OspreyError):
    """The server refused this edge for a reason that a retry does not mend."""
