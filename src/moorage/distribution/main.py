"""The program behind ``moor registry``."""

import asyncio
import logging
import os
import signal
import sys

from moorage.distribution.configuration import Settings, settings_from
from moorage.distribution.passwd import passwd
from moorage.distribution.server import collect_once, listening, registry
from moorage.errors import MoorageError

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}


def main() -> None:
    """Serve until a signal ends it, collect garbage once, or write a password."""
    try:
        if sys.argv[1:2] == ["passwd"]:
            passwd(sys.argv[2:])
            return
        command, settings = settings_from(sys.argv[1:], os.environ)
        logging.basicConfig(
            level=_LEVELS[settings.log_level], format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
        )
        asyncio.run(_collect(settings) if command == "garbage-collect" else _serve(settings))
    except (MoorageError, OSError) as error:
        sys.exit(f"moor registry: {error}")


async def _serve(settings: Settings) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with registry(settings) as made, listening(made, settings):
        await stopped.wait()


async def _collect(settings: Settings) -> None:
    async with registry(settings) as made:
        await collect_once(made)
