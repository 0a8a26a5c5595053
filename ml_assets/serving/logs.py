"""The server's own log: a line per event on standard error, as JSON for programs or as text for people.

What was answered is in the prediction log, not here.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

_OURS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}


class JsonLines(logging.Formatter):
    """A record as one line of JSON: `at`, `level`, `logger`, `message`, and whatever it was given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        told: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
            **extras(record),
        }
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False, default=str)


class Lines(logging.Formatter):
    """A record as text, its `extra` behind it."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(process)d %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The line; more of them where there is a traceback."""
        told = " ".join(f"{name}={value}" for name, value in extras(record).items())
        return super().format(record) + (f"  {told}" if told else "")


def extras(record: logging.LogRecord) -> dict[str, Any]:
    """What a record was given as `extra`."""
    return {name: value for name, value in vars(record).items() if name not in _OURS}


def log_to_stderr(*, as_json: bool) -> None:
    """Send this process' log, the HTTP server's included, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if as_json else Lines())
    for name in ("ml_assets", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)
    logging.getLogger("uvicorn.access").disabled = True
