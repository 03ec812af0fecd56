"""Reload the configuration on SIGHUP, as far as it can change while the daemon runs.

Spec: dockerd(8), "Configuration reload behavior".
"""

import dataclasses
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from moorage.daemon.config import DaemonConfig, load
from moorage.daemon.registries import registry_settings, signature_settings
from moorage.daemon.wiring import Wiring
from moorage.errors import MoorageError

_RELOADABLE: Final = frozenset(
    {
        "authorization_plugins", "debug", "default_ipc_mode", "default_runtime", "default_shm_size",
        "default_stop_timeout", "insecure_registries", "labels", "log_level", "max_concurrent_downloads",
        "max_concurrent_uploads", "max_download_attempts", "registry_mirrors", "runtimes", "shutdown_timeout",
        "signature_policy", "signing",
    }
)  # fmt: skip

_log = logging.getLogger(__name__)


@dataclasses.dataclass(slots=True, kw_only=True)
class Reloader:
    """Reads daemon.json again.

    Attributes:
        options: The command line, which stays.
        set_level: Applies the level of logging.
    """

    options: Mapping[str, Any]
    wiring: Wiring
    set_level: Callable[[DaemonConfig], None]

    def reload(self) -> None:
        """Take over what may change, and say what needs a restart; a broken file changes nothing."""
        live, old = self.wiring.live, self.wiring.live.config
        try:
            fresh = load(self.options)
        except MoorageError as error:
            _log.error("the configuration was not reloaded: %s", error)
            return
        changed = [
            field.name
            for field in dataclasses.fields(DaemonConfig)
            if getattr(fresh, field.name) != getattr(old, field.name)
        ]
        for name in changed:
            if name not in _RELOADABLE:
                _log.warning("the change of %s takes effect when the daemon is restarted", name)
        config = dataclasses.replace(old, **{name: getattr(fresh, name) for name in changed if name in _RELOADABLE})
        live.replace(config)
        self.set_level(config)
        if "authorization_plugins" in changed:
            self.wiring.authorization.replace(config.authorization_plugins)
        self.wiring.images.reconfigure(
            registry_settings(config),
            signatures=signature_settings(config),
            downloads=config.max_concurrent_downloads,
            uploads=config.max_concurrent_uploads,
        )
        base = self.wiring.base
        base.bus.publish("daemon", "reload", base.engine_id, event_attributes(config, name=base.host.name))


def event_attributes(config: DaemonConfig, *, name: str) -> dict[str, str]:
    """Return what the event of a reload tells: the settings that can be reloaded, as JSON."""
    runtimes = {
        known: {"path": program.path, "runtimeArgs": list(program.arguments)}
        for known, program in config.runtimes.items()
    }
    values: dict[str, Any] = {
        "debug": config.debug,
        "default-ipc-mode": config.default_ipc_mode,
        "default-runtime": config.default_runtime,
        "default-shm-size": config.default_shm_size,
        "default-stop-timeout": config.default_stop_timeout,
        "insecure-registries": list(config.insecure_registries),
        "labels": list(config.labels),
        "live-restore": True,
        "max-concurrent-downloads": config.max_concurrent_downloads,
        "max-concurrent-uploads": config.max_concurrent_uploads,
        "max-download-attempts": config.max_download_attempts,
        "registry-mirrors": list(config.registry_mirrors),
        "runtimes": runtimes,
        "shutdown-timeout": config.shutdown_timeout,
    }
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
    return {"name": name, **texts}
