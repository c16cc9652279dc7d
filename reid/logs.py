"""Structured logs: `key=value` lines on stderr, or JSON lines for collectors.

Use `logger = structlog.get_logger(__name__)`. info: start, stop, change of state; warning: recovered; error: work lost;
debug: per tracklet. Nothing per frame, no embeddings, no pictures, no secrets.
"""

from __future__ import annotations

import logging
import sys

import structlog


def configure_logs(*, level: str = "info", as_json: bool = False) -> None:
    """Set up structlog for a process; called once, by its entry point.

    Args:
        level: debug, info, warning or error.
        as_json: Write JSON lines instead of text.
    """
    number: int = logging.getLevelName(level.upper())
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info if as_json else structlog.processors.StackInfoRenderer(),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
