"""`moord`, the daemon."""

import asyncio
import importlib.metadata
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from moorage.daemon import config as configuration
from moorage.daemon.config import DaemonConfig
from moorage.daemon.lock import only_daemon, pid_file
from moorage.daemon.options import parse
from moorage.engine import faults
from moorage.engine.launching import Launcher
from moorage.errors import MoorageError

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the daemon until a signal ends it; the exit status is 1 if it cannot start."""
    version = f"Moorage version {importlib.metadata.version('moorage')}"
    options = parse(sys.argv[1:] if arguments is None else arguments, version=version)
    try:
        config = configuration.load(options)
        _set_up_logging(config)
        if config.fault:
            faults.arm(config.fault)
        if os.geteuid() != 0:
            raise configuration.ConfigurationError("moord needs to be started with root privileges")
        pidfile = config.pidfile or config.exec_root / "moord.pid"
        with only_daemon(config.data_root), pid_file(pidfile):
            asyncio.run(_run(config, options))
    except MoorageError as error:
        sys.exit(f"failed to start daemon: {error}")
    except OSError as error:
        sys.exit(f"failed to start daemon: {error}")


async def _run(config: DaemonConfig, options: Mapping[str, Any]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # Before there is a reloader, a SIGHUP must not end the daemon.
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    config.exec_root.mkdir(parents=True, exist_ok=True, mode=0o711)
    launcher = Launcher(config.exec_root)
    launcher.start()
    # The launcher gets ready on one processor while the daemon is loaded on another.
    from moorage.daemon.reloading import Reloader  # noqa: PLC0415
    from moorage.daemon.serving import serving  # noqa: PLC0415

    async with serving(config, launcher=launcher) as wiring:
        reloader = Reloader(config=config, options=options, wiring=wiring, set_level=_set_level)
        loop.add_signal_handler(signal.SIGHUP, reloader.reload)
        await stop.wait()


def _set_up_logging(config: DaemonConfig) -> None:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    _set_level(config)


def _set_level(config: DaemonConfig) -> None:
    logging.getLogger().setLevel(logging.DEBUG if config.debug else _LEVELS[config.log_level])
