"""The daemon's own log: text lines, or JSON objects, on standard error."""

import json
import logging
import sys
import time
from typing import Final

from moorage.daemon.config import DaemonConfig

_TEXT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
}


class JSONFormatter(logging.Formatter):
    """Writes a record as one JSON object, with the keys that Docker's daemon uses."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        moment = time.gmtime(record.created)
        fields = {
            "level": record.levelname.lower(),
            "msg": record.getMessage(),
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', moment)}.{int(record.msecs):03d}Z",
            "logger": record.name,
        }
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def set_up(config: DaemonConfig) -> None:
    """Begin to log."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JSONFormatter() if config.log_format == "json" else logging.Formatter(_TEXT))
    logging.getLogger().addHandler(handler)
    set_level(config)


def set_level(config: DaemonConfig) -> None:
    """Log from the configured level on."""
    logging.getLogger().setLevel(logging.DEBUG if config.debug else _LEVELS[config.log_level])
