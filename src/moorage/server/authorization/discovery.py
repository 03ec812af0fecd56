"""Where a plugin listens: its socket, or a file that says so.

Spec: Docker Engine extension, "Docker Plugin API", "Plugin discovery".
"""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from moorage.errors import InvalidParameterError, NotFoundError

_SPEC_SIZE_LIMIT: Final = 64 * 1024


class PluginNotFoundError(NotFoundError):
    """No directory has a socket or a file of this plugin."""

    def __init__(self, name: str) -> None:
        super().__init__(f'plugin "{name}" not found')


class PluginSpecError(InvalidParameterError):
    """The file of a plugin does not say where it listens."""

    def __init__(self, path: Path, reason: object) -> None:
        super().__init__(f"invalid plugin specification {path}: {reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginDirectories:
    """Where plugins are looked for, in this order."""

    sockets: Path = Path("/run/docker/plugins")
    specs: tuple[Path, ...] = (Path("/etc/docker/plugins"), Path("/usr/lib/docker/plugins"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginAddress:
    """Where a plugin listens.

    Attributes:
        socket: The path of a unix socket; "" where `url` names a host.
        url: What the names of calls are appended to, with a slash at its end.
        tls: For https.
    """

    socket: str = ""
    url: str = "http://plugin/"
    tls: ssl.SSLContext | None = None


class _TLSConfig(msgspec.Struct, rename={
    "insecure": "InsecureSkipVerify", "authority": "CAFile", "certificate": "CertFile", "key": "KeyFile",
}):  # fmt: skip
    insecure: bool = False
    authority: str = ""
    certificate: str = ""
    key: str = ""


class _Spec(msgspec.Struct, rename={"address": "Addr", "tls": "TLSConfig"}):
    address: str
    tls: _TLSConfig | None = None


def find_plugin(name: str, directories: PluginDirectories) -> PluginAddress:
    """Return where a plugin listens; it reads files, so not on the event loop.

    Raises:
        PluginNotFoundError: Nothing has that name.
        PluginSpecError: Its file is of no use.
    """
    if "/" in name or not name:
        raise PluginNotFoundError(name)
    for path in _candidates(directories.sockets, name, ".sock"):
        if path.is_socket():
            return PluginAddress(socket=str(path))
    for directory in directories.specs:
        for suffix, read in ((".spec", _read_spec), (".json", _read_json)):
            for path in _candidates(directory, name, suffix):
                if path.is_file():
                    return _address(path, read(path))
    raise PluginNotFoundError(name)


def _candidates(directory: Path, name: str, suffix: str) -> Iterator[Path]:
    yield directory / f"{name}{suffix}"
    yield directory / name / f"{name}{suffix}"


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_SPEC_SIZE_LIMIT)
    except OSError as error:
        raise PluginSpecError(path, error.strerror) from None


def _read_spec(path: Path) -> _Spec:
    return _Spec(address=_read(path).decode("utf-8", "replace").strip())


def _read_json(path: Path) -> _Spec:
    try:
        return msgspec.json.decode(_read(path), type=_Spec)
    except msgspec.DecodeError as error:
        raise PluginSpecError(path, error) from None


def _address(path: Path, spec: _Spec) -> PluginAddress:
    url = urlsplit(spec.address)
    if url.scheme == "unix" and url.path:
        return PluginAddress(socket=url.netloc + url.path)
    if url.scheme not in {"tcp", "http", "https"} or not url.netloc:
        raise PluginSpecError(path, f"{spec.address!r} is none of unix://, tcp://, http:// and https:// addresses")
    secure = url.scheme == "https" or (url.scheme == "tcp" and spec.tls is not None)
    base = f"{'https' if secure else 'http'}://{url.netloc}{url.path.rstrip('/')}/"
    if not secure:
        return PluginAddress(url=base)
    try:
        return PluginAddress(url=base, tls=_tls_context(spec.tls or _TLSConfig()))
    except OSError as error:
        raise PluginSpecError(path, error) from None


def _tls_context(config: _TLSConfig) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=config.authority or None)
    if config.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if config.certificate:
        context.load_cert_chain(config.certificate, config.key or None)
    return context
