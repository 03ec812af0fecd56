"""The daemon's life: open, recover, serve, and go.

Containers are not stopped at the end, unless the host goes down too. Their shims live on,
and the next daemon finds them.
"""

import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncIterator
from typing import Final

from moorage.api.versions import DOCKER_RELEASE
from moorage.cgroups import systemd
from moorage.cgroups.systemd import SystemdError
from moorage.daemon.config import ConfigurationError, DaemonConfig
from moorage.daemon.foundations import Foundations, lay_foundations
from moorage.daemon.handlers import make_router, system_service
from moorage.daemon.wiring import Wiring
from moorage.engine.launching import Launcher
from moorage.server.application import Application
from moorage.server.listener import Listener, TLSFiles, listen
from moorage.server.router import Router

# Streams such as events never end by themselves, so this is how long a stop takes.
_GRACE: Final = 2.0

_log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def serving(config: DaemonConfig, *, launcher: Launcher) -> AsyncIterator[Wiring]:
    """Run the daemon for the block.

    Args:
        launcher: Started; it is stopped at the end.

    Raises:
        MoorageError: Something on disk, in the kernel or in the configuration forbids it.
    """
    base = await lay_foundations(config, launcher=launcher)
    wiring = Wiring(base)
    listeners: list[Listener] = []
    try:
        await check_remapping(wiring)
        await base.profile.install()
        await recover(wiring)
        router = make_router(wiring)
        if config.metrics_address:
            listeners.append(await _serve_metrics(wiring, router))
        application = Application(
            router,
            product=f"Docker/{DOCKER_RELEASE}",
            experimental=config.experimental,
            minimum=config.minimum_api_version,
            authorization=wiring.authorization,
        )
        for host in config.hosts:
            listener = await listen(host, application, tls=tls_files(config, host), group=config.group)
            listeners.append(listener)
        wiring.containers.recovery.start_policies()
        if config.image_retention is not None:
            base.jobs.spawn(wiring.store.cleaner.watch(), key="image-gc", endless=True)
        # What exists now lives as long as the daemon: the collector need not walk it again.
        gc.collect()
        gc.freeze()
        _log.info("API listens on %s", ", ".join(config.hosts))
        yield wiring
        if await host_is_going_down():
            await wiring.host_shutdown.stop_all()
    finally:
        await _close(base, wiring, listeners)


async def host_is_going_down() -> bool:
    """Tell whether the daemon ends because the host does."""
    try:
        return await asyncio.to_thread(systemd.host_is_going_down)
    except SystemdError as error:
        _log.warning("nobody says whether the host goes down, so containers are left to run: %s", error)
        return False


async def check_remapping(wiring: Wiring) -> None:
    """Refuse to serve with a mapping that no container could have.

    Raises:
        ConfigurationError: The kernel, or the data root's file system, can't map owners.
    """
    if wiring.base.id_mapping is not None and (reason := await wiring.bundles.userns.why_not()):
        raise ConfigurationError(f"userns-remap is not supported on this host: {reason}")


async def _serve_metrics(wiring: Wiring, router: Router) -> Listener:
    # Few daemons need it.
    from moorage.daemon.metrics import Metrics, MetricsApplication  # noqa: PLC0415

    base = wiring.base
    metrics = Metrics(system=system_service(wiring), bus=base.bus, probes=wiring.execs.prober)
    metrics.instrument(router)
    application = MetricsApplication(metrics, product=f"Docker/{DOCKER_RELEASE}")
    return await listen(f"tcp://{base.config.metrics_address}", application)


async def recover(wiring: Wiring) -> None:
    """Bring records, shims, networks and files into step; nobody is served before that."""
    base = wiring.base
    live = await wiring.containers.recovery.reconnect()
    await base.networks.service.restore(live)
    await base.volumes.open()
    await wiring.images.catalog.load()
    await wiring.containers.recovery.settle()
    base.jobs.spawn(_collect(wiring), key="collect")


async def _collect(wiring: Wiring) -> None:
    await wiring.images.collector.collect()


def tls_files(config: DaemonConfig, host: str) -> TLSFiles | None:
    """Return the certificates for a TCP address, or None where nothing is encrypted."""
    if not host.startswith("tcp://") or not (config.tls or config.tls_verify):
        return None
    assert config.tls_certificate is not None  # noqa: S101 - the configuration was checked
    assert config.tls_key is not None  # noqa: S101 - likewise
    return TLSFiles(
        certificate=config.tls_certificate,
        key=config.tls_key,
        authority=config.tls_ca if config.tls_verify else None,
    )


async def _close(base: Foundations, wiring: Wiring, listeners: list[Listener]) -> None:
    wiring.containers.restarts.cancel_all()
    # Its loops are jobs, and would never end by themselves.
    await wiring.containers.health.close()
    await asyncio.gather(*(listener.close(grace=_GRACE) for listener in listeners))
    await base.jobs.finish(timeout=wiring.live.config.shutdown_timeout)
    await base.snapshots.removals.finish(timeout=wiring.live.config.shutdown_timeout)
    base.tasks.close()
    base.launcher.stop()
    base.networks.close()
    await wiring.images.close()
    await base.journal.close()
    await base.database.close()
