"""Errors of the demo.

OspreyError
└── DemoError       a process of the demo failed or did not answer in time
"""

from reid.errors import OspreyError


class DemoError(OspreyError):
    """A process of the demo failed or did not answer in time; its last words are in the message."""
