"""Keep the default profile loaded in the kernel.

The kernel takes compiled policy only, so the distribution's own compiler is needed; where it
is missing, AppArmor counts as missing, as for Docker.
"""

import asyncio
import logging
import os
import shutil
from pathlib import Path
from typing import Final

from moorage.engine.apparmor.profile import DEFAULT_PROFILE, confined_by, default_profile, is_listed
from moorage.errors import SystemFailureError

_SECURITY: Final = Path("/sys/kernel/security/apparmor")
_ENABLED: Final = Path("/sys/module/apparmor/parameters/enabled")
_POLICY: Final = Path("/etc/apparmor.d")
_OWN_LABELS: Final = (Path("/proc/self/attr/apparmor/current"), Path("/proc/self/attr/current"))
_PARSER: Final = "apparmor_parser"
_SEARCH: Final = os.pathsep.join(("/sbin", "/usr/sbin", os.defpath))

_log = logging.getLogger(__name__)


class ProfileNotLoadedError(SystemFailureError):
    """The default profile can't be loaded; Docker's words."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"AppArmor enabled on system but the {DEFAULT_PROFILE} profile could not be loaded: {reason}")


def apparmor_available() -> bool:
    """Tell whether this host confines programs by AppArmor, and we may load profiles."""
    return _read(_ENABLED).startswith("Y") and _SECURITY.is_dir() and shutil.which(_PARSER, path=_SEARCH) is not None


class DefaultProfile:
    """The profile of containers that name none.

    Args:
        available: This host has AppArmor. Without it nothing is ever loaded.
    """

    def __init__(self, *, available: bool = False) -> None:
        self.available = available
        self._loading = asyncio.Lock()

    async def install(self) -> None:
        """Load today's profile, whatever is loaded; a failure is only logged: most containers name none.

        Once, at the start of the daemon.
        """
        if not self.available:
            return
        try:
            await self._load()
        except ProfileNotLoadedError as error:
            _log.error("%s", error)

    async def ensure(self) -> None:
        """Load the profile if it is gone: an update of the host's own profiles may have unloaded it.

        Raises:
            ProfileNotLoadedError: It can't be.
        """
        if not self.available:
            return
        async with self._loading:
            if not is_listed(_read(_SECURITY / "profiles")):
                await self._load()

    async def _load(self) -> None:
        label = next((text for path in _OWN_LABELS if (text := _read(path))), "")
        text = default_profile(daemon=confined_by(label), has=lambda name: (_POLICY / name).exists())
        program = shutil.which(_PARSER, path=_SEARCH) or _PARSER
        try:
            # Without its cache, which may be read-only; and in place of an older version.
            process = await asyncio.create_subprocess_exec(
                program, "-Kr", stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
        except OSError as error:
            raise ProfileNotLoadedError(f"{program}: {error.strerror}") from error
        output, _ = await process.communicate(text.encode())
        if process.returncode:
            raise ProfileNotLoadedError(
                f"running '{program} -Kr' failed with output: {output.decode(errors='replace')}"
            )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
