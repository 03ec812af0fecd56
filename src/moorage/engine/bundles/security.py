"""The words of ``--security-opt``.

Pure.

Spec: Engine API, HostConfig "SecurityOpt".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from moorage.api.host_config import HostConfig
from moorage.engine.apparmor.profile import DEFAULT_PROFILE
from moorage.errors import InvalidParameterError

UNCONFINED: Final = "unconfined"
BUILTIN: Final = "builtin"


class SecurityOptionError(InvalidParameterError):
    """A security option can't be understood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityOptions:
    """What the options ask for.

    Attributes:
        seccomp: ``unconfined``, ``builtin``, or a profile as JSON text; empty for the
            daemon's own.
        apparmor: A profile's name, ``unconfined``, or empty.
        writable_cgroups: None if nothing is said.
        labels: SELinux label parts (``user:x``, ``type:x``, ``level:x``, ``disable``).
    """

    no_new_privileges: bool = False
    seccomp: str = ""
    apparmor: str = ""
    labels: tuple[str, ...] = ()
    writable_cgroups: bool | None = None


def parse_security_options(texts: Sequence[str]) -> SecurityOptions:
    """Read the options; later ones win.

    ``systempaths=unconfined`` never gets here: the client turns it into empty lists of
    masked and read-only paths.

    Raises:
        SecurityOptionError: In Docker's words.
    """
    found: dict[str, str] = {}
    labels: list[str] = []
    for text in texts:
        name, value = _split(text)
        if name == "label":
            labels.append(value)
        else:
            found[name] = value
    return SecurityOptions(
        no_new_privileges=_flag(found, "no-new-privileges"),
        writable_cgroups=_flag(found, "writable-cgroups") if "writable-cgroups" in found else None,
        seccomp=found.get("seccomp", ""),
        apparmor=found.get("apparmor", ""),
        labels=tuple(labels),
    )


def apparmor_profile(host_config: HostConfig) -> str:
    """Return the AppArmor profile of a container, on a host that has AppArmor."""
    chosen = parse_security_options(host_config.security_opt or ()).apparmor
    return chosen or (UNCONFINED if host_config.privileged else DEFAULT_PROFILE)


def module_warnings(host_config: HostConfig, *, apparmor: bool, selinux: bool) -> list[str]:
    """Return what the client is told about options that this host can't follow.

    As with Docker such a container starts all the same, so that one configuration does for
    hosts of both kinds.
    """
    options = parse_security_options(host_config.security_opt or ())
    warnings: list[str] = []
    if options.apparmor not in {"", UNCONFINED} and not apparmor:
        warnings.append(f"AppArmor is not enabled on this host. Profile {options.apparmor} discarded.")
    if not selinux and any(label != "disable" for label in options.labels):
        warnings.append("SELinux is not enabled on this host or in the daemon. Labels discarded.")
    return warnings


def _split(text: str) -> tuple[str, str]:
    if text in {"no-new-privileges", "writable-cgroups"}:
        return text, "true"
    if text == "disable":
        return "label", "disable"
    # "label:disable" is the old form with a colon; a seccomp profile may hold any character.
    separator = "=" if "=" in text else ":"
    name, found, value = text.partition(separator)
    if not found:
        raise SecurityOptionError(f'invalid --security-opt 1: "{text}"')
    if name not in {"no-new-privileges", "writable-cgroups", "seccomp", "apparmor", "label"}:
        raise SecurityOptionError(f'invalid --security-opt 2: "{text}"')
    return name, value


def _flag(found: dict[str, str], name: str) -> bool:
    value = found.get(name, "false").lower()
    if value not in {"true", "false", "1", "0", "t", "f"}:
        raise SecurityOptionError(f'invalid --security-opt 2: "{name}={value}"')
    return value in {"true", "1", "t"}
