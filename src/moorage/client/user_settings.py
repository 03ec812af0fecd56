"""What a user has set for Docker's clients: the directory and its ``config.json``, which moor shares."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from moorage.errors import InvalidParameterError


class UserSettingsError(InvalidParameterError):
    """The file of settings can't be read."""


def config_directory(variables: Mapping[str, str] | None = None) -> Path:
    """Return where Docker's clients keep what users have set; without variables, the process's own count."""
    return Path((os.environ if variables is None else variables).get("DOCKER_CONFIG") or Path.home() / ".docker")


def settings_file(variables: Mapping[str, str] | None = None) -> Path:
    """Return the file of settings."""
    return config_directory(variables) / "config.json"


def read_settings(variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the settings; a missing file has none.

    Raises:
        UserSettingsError: The file can't be read.
    """
    file = settings_file(variables)
    try:
        settings = msgspec.json.decode(file.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserSettingsError(f"can't read {file}: {error}") from None
    return settings if isinstance(settings, dict) else {}


def write_settings(settings: Mapping[str, Any]) -> None:
    """Replace the settings as a whole."""
    # Many keep the file elsewhere, behind a link.
    file = settings_file().resolve()
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = file.with_name(".config.json.partial")
    # Credentials are for this user alone, from the first byte on.
    fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    import json  # noqa: PLC0415 - every command imports this module, and few write; msgspec has no tabs

    with os.fdopen(fd, "w") as out:
        json.dump(settings, out, indent="\t")
    partial.rename(file)
