"""User namespaces from the daemon's configuration and the host's own files.

Spec: dockerd(8), "--userns-remap"; subuid(5).
"""

import logging
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from moorage.daemon.config import ConfigurationError
from moorage.engine.userns.accounts import DEFAULT_USER, Accounts, needs_default_user, next_range, remapping
from moorage.engine.userns.allocation import DEFAULT_POOL, Span
from moorage.engine.userns.mapping import IdMapping

_FILES: Final = {"passwd": "passwd", "group": "group", "subuid": "subuid", "subgid": "subgid"}
_POOL_USERS: Final = ("moorage", "containers")
"""Whose subordinate IDs `--userns=auto` takes; the second one is Podman's."""

_log = logging.getLogger(__name__)


def read_accounts(directory: Path = Path("/etc")) -> Accounts:
    """Read the host's users and what is set aside for them; a missing file is an empty one."""
    return Accounts(**{name: _read(directory / file) for name, file in _FILES.items()})


def daemon_mapping(value: str) -> IdMapping | None:
    """Return what `userns-remap` asks for; the default user is made if it is missing.

    Starts programs and waits for them.

    Raises:
        ConfigurationError: The user can't be made.
        RemapError: A user or range is missing.
    """
    if not value:
        return None
    if needs_default_user(value, read_accounts()):
        _make_default_user()
    mapping = remapping(value, read_accounts())
    if mapping is None:
        _log.warning("User namespaces: root cannot be remapped with itself; user namespaces are OFF")
    return mapping


def pools(accounts: Accounts) -> tuple[Sequence[Span], Sequence[Span]]:
    """Return the users and the groups for containers that get a range of their own."""
    for name in _POOL_USERS:
        uids, gids = accounts.set_aside(name)
        if uids and gids:
            return uids, gids
    return DEFAULT_POOL, DEFAULT_POOL


def _make_default_user() -> None:
    try:
        _add_user()
        _set_ranges_aside()
    except ConfigurationError as error:
        raise ConfigurationError(f'Error during "{DEFAULT_USER}" user creation: {error}') from None


def _add_user() -> None:
    if shutil.which("adduser"):
        words = ("--system", "--shell", "/bin/false", "--no-create-home", "--disabled-login", "--disabled-password")
        _run("adduser", *words, "--group", DEFAULT_USER)
    elif shutil.which("useradd"):
        _run("useradd", "-r", "-s", "/bin/false", DEFAULT_USER)
    else:
        raise ConfigurationError("cannot add user; no useradd/adduser binary found")


def _set_ranges_aside() -> None:
    accounts = read_accounts()
    uids, gids = accounts.set_aside(DEFAULT_USER)
    # The distribution's own tools may have done it.
    for kind, option, found in (("subuid", "-v", uids), ("subgid", "-w", gids)):
        if not found:
            first, last = next_range(getattr(accounts, kind))
            _run("usermod", option, f"{first}-{last}", DEFAULT_USER)


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ConfigurationError(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        raise ConfigurationError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
