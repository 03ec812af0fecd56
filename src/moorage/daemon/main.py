"""`moord`, the daemon."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from moorage import faults
from moorage.api.versions import RELEASE
from moorage.daemon import config as configuration
from moorage.daemon import logging as logs
from moorage.daemon.config import DaemonConfig
from moorage.daemon.lock import only_daemon, pid_file
from moorage.daemon.notification import READY, STOPPING, Notification
from moorage.daemon.options import parse
from moorage.engine.launching import Launcher
from moorage.errors import MoorageError
from moorage.kernel.malloc import use_one_heap

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from moorage.daemon.wiring import Wiring


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the daemon until a signal ends it; the exit status is 1 if it cannot start."""
    version = f"Moorage version {RELEASE}"
    options = parse(sys.argv[1:] if arguments is None else arguments, version=version)
    validate = options.pop("validate", False)
    try:
        config = configuration.load(options)
        if validate:
            print("configuration OK")  # noqa: T201 - what was asked for
            return
        logs.set_up(config)
        # Where the registry client, and whoever else asks the environment, finds them.
        for scheme, address in config.proxies.items():
            os.environ[f"{scheme.upper()}_PROXY"] = os.environ[f"{scheme}_proxy"] = address
        if config.fault:
            faults.arm(config.fault)
        if os.geteuid() != 0:
            raise configuration.ConfigurationError("moord needs to be started with root privileges")
        pidfile = config.pidfile or config.exec_root / "moord.pid"
        with only_daemon(config.data_root), pid_file(pidfile):
            # Before there are threads.
            use_one_heap()
            asyncio.run(_run(config, options))
    except MoorageError as error:
        sys.exit(f"failed to start daemon: {error}")
    except OSError as error:
        sys.exit(f"failed to start daemon: {error}")


def _know_victims(wiring: Wiring) -> None:
    from moorage.daemon import victims  # noqa: PLC0415 - for crash tests only

    run_root, paths = wiring.base.config.exec_root, wiring.base.paths
    faults.know_victim("keeper", lambda: victims.keeper(run_root))
    faults.know_victim("attendant", lambda: victims.attendant(run_root, paths))


async def _run(config: DaemonConfig, options: Mapping[str, Any]) -> None:
    notification = Notification()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # Before there is a reloader, a SIGHUP must not end the daemon.
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    config.exec_root.mkdir(parents=True, exist_ok=True, mode=0o711)
    launcher = Launcher(config.exec_root, allow_faults=config.fault.startswith(("shim:", "file:")))
    faults.know_victim("launcher", lambda: launcher.pid)
    launcher.start()
    # The launcher gets ready on one processor while the daemon is loaded on another.
    from moorage.daemon.reloading import Reloader  # noqa: PLC0415
    from moorage.daemon.serving import serving  # noqa: PLC0415

    async with serving(config, launcher=launcher) as wiring:
        if config.fault:
            _know_victims(wiring)
        reloader = Reloader(options=options, wiring=wiring, set_level=logs.set_level)
        loop.add_signal_handler(signal.SIGHUP, reloader.reload)
        notification.tell(READY)
        await stop.wait()
        notification.tell(STOPPING)
