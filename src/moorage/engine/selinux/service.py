"""Labels for the containers of a daemon that has SELinux turned on."""

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from moorage.api.host_config import HostConfig
from moorage.engine.bundles.modes import joined_container
from moorage.engine.bundles.security import parse_security_options
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.selinux.context import (
    DISABLE,
    LabelOptionError,
    Labels,
    labels_for,
    parse_context,
    parse_defaults,
    same_as,
)

_CONFIG: Final = Path("/etc/selinux/config")
_DEFAULT_POLICY: Final = "targeted"
_PLACES: Final = ("/etc/selinux/{policy}/contexts/lxc_contexts", "/usr/share/containers/selinux/contexts")


@dataclass(frozen=True, slots=True, kw_only=True)
class SELinux:
    """Gives labels to containers.

    Attributes:
        enabled: `selinux-enabled` is set and the kernel has SELinux. Otherwise no container
            has a label, whatever it asks for.
        defaults: The policy's labels for containers.
        records: All containers, whose levels are taken.
        resolve: Finds a container.
    """

    enabled: bool = False
    defaults: dict[str, str] = field(default_factory=dict)
    records: Callable[[], Iterable[ContainerRecord]] = tuple
    resolve: Callable[[str], ContainerRecord]

    def labels(self, host_config: HostConfig) -> Labels:
        """Return the labels of a new container.

        Raises:
            LabelOptionError: An option is none, or what it joins contradicts itself.
        """
        if not self.enabled:
            return Labels()
        asked = list(parse_security_options(host_config.security_opt or ()).labels)
        taken = {parse_context(label).level for record in self.records() if (label := record.labels.process)}
        options = asked or self._implied(host_config)
        return labels_for(options, defaults=self.defaults, taken=taken, choose=secrets.randbelow)

    def _implied(self, host_config: HostConfig) -> list[str]:
        """Return the options that shared namespaces imply."""
        if host_config.privileged or "host" in {host_config.ipc_mode, host_config.pid_mode}:
            return [DISABLE]
        joined = [joined_container(mode) for mode in (host_config.ipc_mode, host_config.pid_mode)]
        found = [same_as(self.resolve(name).labels.process) for name in joined if name is not None]
        if len(found) == 2 and found[0] != found[1]:
            raise LabelOptionError("--ipc and --pid containers SELinux labels aren't the same")
        return found[0] if found else []


def read_defaults(root: Path = Path("/")) -> dict[str, str]:
    """Return the labels for containers of the policy that is in force; nothing if it has none."""
    policy = parse_defaults(_read(root, str(_CONFIG))).get("SELINUXTYPE", _DEFAULT_POLICY)
    for place in reversed(_PLACES):
        if text := _read(root, place.format(policy=policy)):
            return parse_defaults(text)
    return {}


def _read(root: Path, path: str) -> str:
    try:
        return (root / path.lstrip("/")).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
