"""Where an engine listens: ``unix:///path`` or ``tcp://host:port``, and how to trust it.

Pure.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

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
        path: The socket's path, or empty for TCP.
        host: Name or address, empty for a unix socket.
    """

    path: str = ""
    host: str = ""
    port: int = 0
    tls: TLSFiles | None = None

    @property
    def authority(self) -> str:
        """What the Host header says."""
        return f"{self._bracketed}:{self.port}" if self.host else "moorage"

    @property
    def text(self) -> str:
        """The address as users write it."""
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
    if parts.scheme in {"tcp", "http", "https"} and parts.hostname:
        try:
            port = parts.port
        except ValueError:
            raise InvalidHostError(text) from None
        if parts.scheme == "https":
            tls = tls or TLSFiles()
        return Address(host=parts.hostname, port=port or (_TLS_PORT if tls else _PLAIN_PORT), tls=tls)
    raise InvalidHostError(text)
