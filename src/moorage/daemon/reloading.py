"""Reload the configuration on SIGHUP, as far as it can change while the daemon runs."""

import dataclasses
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from moorage.daemon.config import DaemonConfig, load
from moorage.daemon.wiring import Wiring
from moorage.errors import MoorageError

_RELOADABLE: Final = frozenset({"debug", "log_level"})

_log = logging.getLogger(__name__)


@dataclasses.dataclass(slots=True, kw_only=True)
class Reloader:
    """Reads daemon.json again.

    Attributes:
        config: What is in force.
        options: The command line, which stays.
        set_level: Applies the level of logging.
    """

    config: DaemonConfig
    options: Mapping[str, Any]
    wiring: Wiring
    set_level: Callable[[DaemonConfig], None]

    def reload(self) -> None:
        """Take over what may change, and say what needs a restart; a broken file changes nothing."""
        try:
            fresh = load(self.options)
        except MoorageError as error:
            _log.error("the configuration was not reloaded: %s", error)
            return
        changed = [
            field.name
            for field in dataclasses.fields(DaemonConfig)
            if getattr(fresh, field.name) != getattr(self.config, field.name)
        ]
        for name in changed:
            if name not in _RELOADABLE:
                _log.warning("the change of %s takes effect when the daemon is restarted", name)
        self.config = dataclasses.replace(
            self.config, **{name: getattr(fresh, name) for name in changed if name in _RELOADABLE}
        )
        self.set_level(self.config)
        base = self.wiring.base
        attributes = {"name": base.host.name, "debug": str(self.config.debug).lower()}
        base.bus.publish("daemon", "reload", base.engine_id, attributes)
