"""Logs: JSON lines on stdout, or colours on a terminal; an event is a short constant phrase, facts are keys."""

import logging
import sys

import msgspec
import structlog

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def level(text: str) -> int:
    """Parses a level's name."""
    if text not in LEVELS:
        raise ValueError(f"is none of {', '.join(LEVELS)}")
    return LEVELS[text]


def setup(service: str, minimum: int) -> None:
    """Configures structlog for the process; every line carries `service`."""
    terminal = sys.stdout.isatty()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.format_exc_info,
    ]
    last: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer(serializer=_encode)
    )
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(minimum),
        logger_factory=structlog.PrintLoggerFactory() if terminal else structlog.BytesLoggerFactory(),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)


def _encode(value: object, **_: object) -> bytes:
    return msgspec.json.encode(value, enc_hook=str)
