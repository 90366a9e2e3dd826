"""Structured logs: one event a line with the request's id, in colour on a terminal and as JSON elsewhere."""

import logging
import os
import sys

import structlog
from django.conf import settings


def configure() -> None:
    """Called by the entry points (WSGI, Celery, `manage.py up`), so that importing a module sets up nothing."""
    os.environ.setdefault(
        "PYDANTIC_AI_NO_BANNER", "1"
    )  # it would stand among our lines
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
    ]
    as_json = settings.LOG_FORMAT == "json"
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            exception_formatter=structlog.dev.plain_traceback,  # the pretty one prints local variables, secrets among them
        )
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *([structlog.processors.format_exc_info] if as_json else []),
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.LOG_LEVEL)
    logging.getLogger("craft").setLevel(
        "INFO" if settings.LOG_LEVEL == "WARNING" else settings.LOG_LEVEL
    )
    logging.getLogger("django.request").setLevel(
        "ERROR"
    )  # a 404 is the caller's news, not the operator's
    logging.getLogger("celery").setLevel("WARNING")  # a line for each nudge is no news
