"""The configuration in force: some of it changes while the daemon runs."""

from moorage.daemon.config import DaemonConfig
from moorage.daemon.runtimes import NATIVE_ALIAS, NATIVE_RUNTIME


class LiveConfig:
    """What is in force now.

    Attributes:
        config: Replaced as a whole when the configuration is loaded again.
        runtimes: Programs and arguments of foreign runtimes by name; whoever holds the mapping sees changes.
    """

    def __init__(self, config: DaemonConfig) -> None:
        self.runtimes: dict[str, tuple[str, tuple[str, ...]]] = {}
        self.config = config
        self.replace(config)

    def replace(self, config: DaemonConfig) -> None:
        """Put another configuration in force."""
        self.config = config
        self.runtimes.clear()
        self.runtimes.update({name: (program.path, program.arguments) for name, program in config.runtimes.items()})

    def runtime_names(self) -> frozenset[str]:
        """Return what `--runtime` takes."""
        return frozenset({NATIVE_RUNTIME, NATIVE_ALIAS, self.config.default_runtime, *self.runtimes})
