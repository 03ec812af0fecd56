"""Where an engine listens: ``unix:///path``, ``tcp://host:port`` or ``ssh://host``, and how to trust it.

Pure.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from moorage.client.ssh import SSHHost
from moorage.errors import InvalidParameterError

DEFAULT_HOST: Final = "unix:///run/moorage/moorage.sock"
_PLAIN_PORT: Final = 2375
_TLS_PORT: Final = 2376


class InvalidHostError(InvalidParameterError):
    """The text names no place that a client can connect to."""

    def __init__(self, text: str) -> None:
        super().__init__(f"unable to parse docker host `{text}`")


@dataclass(frozen=True, slots=True, kw_only=True)
class TLSFiles:
    """The files of mutual TLS; `verify` checks the server against `ca`."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    verify: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to connect.

    Attributes:
        path: The socket's path, or empty for TCP and SSH.
        host: Name or address, empty for a unix socket and SSH.
        ssh: Where ssh finds it; None for the others.
    """

    path: str = ""
    host: str = ""
    port: int = 0
    tls: TLSFiles | None = None
    ssh: SSHHost | None = None

    @property
    def authority(self) -> str:
        """What the Host header says."""
        return f"{self._bracketed}:{self.port}" if self.host else "moorage"

    @property
    def text(self) -> str:
        """The address as users write it."""
        if self.ssh is not None:
            return self.ssh.text
        return f"tcp://{self.authority}" if self.host else f"unix://{self.path}"

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


def parse_host(text: str, *, tls: TLSFiles | None = None) -> Address:
    """Parse the value of ``-H`` or ``DOCKER_HOST``.

    Raises:
        InvalidHostError: The scheme is unknown, or the place is missing.
    """
    try:
        parts = urlsplit(text)
    except ValueError:
        raise InvalidHostError(text) from None
    if parts.scheme == "unix" and (path := parts.netloc + parts.path):
        return Address(path=path)
    try:
        port = parts.port
    except ValueError:
        raise InvalidHostError(text) from None
    if parts.scheme == "ssh" and parts.hostname:
        # A password has no place where everybody sees the command's words.
        if parts.password is not None or parts.query or parts.fragment:
            raise InvalidHostError(text)
        path = parts.path.rstrip("/")
        return Address(ssh=SSHHost(name=parts.hostname, user=parts.username or "", port=port or 0, path=path))
    if parts.scheme in {"tcp", "http", "https"} and parts.hostname:
        if parts.scheme == "https":
            tls = tls or TLSFiles()
        return Address(host=parts.hostname, port=port or (_TLS_PORT if tls else _PLAIN_PORT), tls=tls)
    raise InvalidHostError(text)
