"""Structured logs: `key=value` lines on stderr, or JSON lines for collectors.

Use `logger = structlog.get_logger(__name__)`. info: start, stop, change of state; warning: recovered; error: work lost;
debug: per tracklet. Nothing per frame, no embeddings, no pictures, no secrets. Logging never raises.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import TextIO, cast

import structlog

from reid.errors import ConfigError

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class LogStream:
    """Where log lines go; one that cannot be written is lost without a word.

    Whoever logs is at work, such as the thread of a camera: that stderr is closed, full or gone must not end it.

    Args:
        stream: Takes the lines; None, as in a process that was started without stderr, for nowhere.
    """

    # A closed file and unknown letters are ValueErrors; rich, on a terminal, makes a broken pipe a SystemExit.
    _FAILURES = (OSError, ValueError, SystemExit)

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """See `TextIO.write`."""
        with suppress(*self._FAILURES):
            if self._stream is not None:
                self._stream.write(text)

    def flush(self) -> None:
        """See `TextIO.flush`."""
        with suppress(*self._FAILURES):
            if self._stream is not None:
                self._stream.flush()

    def isatty(self) -> bool:
        """See `TextIO.isatty`."""
        with suppress(*self._FAILURES):
            return self._stream is not None and self._stream.isatty()
        return False


def configure_logs(
    *, level: str = "info", as_json: bool = False, fields: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Set up structlog for a process; called once, by its entry point.

    Args:
        level: debug, info, warning or error.
        as_json: Write JSON lines instead of text.
        fields: Stand in every line that does not say otherwise, such as the edge_id of this process.

    Raises:
        ConfigError: There is no such level.
    """
    if level not in LEVELS:
        raise ConfigError(f"log level {level!r}: wanted one of {', '.join(LEVELS)}")
    stream = LogStream(sys.stderr)
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(
            colors=stream.isatty(),
            pad_event_to=0,
            exception_formatter=structlog.dev.plain_traceback,  # others show local variables: slow, and tell secrets
        )
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            lambda _logger, _method, event: {**fields, **event},
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info if as_json else structlog.processors.StackInfoRenderer(),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(file=cast(TextIO, stream)),
    )
