"""Put a bundle where the shim finds it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

CONFIG_FILE = "config.json"
LAUNCH_FILE = "launch.json"


def write_bundle(directory: Path, *, spec: Mapping[str, Any], launch: Mapping[str, Any]) -> None:
    """Write ``config.json`` and ``launch.json`` into a new or existing bundle directory.

    The directory is on a tmpfs and is made anew after a reboot, so nothing is synced.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, document in ((CONFIG_FILE, spec), (LAUNCH_FILE, launch)):
        fd = os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(msgspec.json.encode(document))
