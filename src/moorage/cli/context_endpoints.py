"""What ``--docker`` says of a context's engine, and the files for TLS that it names."""

import csv
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from moorage.cli.grammar import boolean
from moorage.cli.session import Session
from moorage.client.address import TLSFiles, parse_host
from moorage.client.context_store import ENDPOINT, Material
from moorage.errors import InvalidParameterError

_KEYS: Final = frozenset({"from", "host", "ca", "cert", "key", "skip-tls-verify"})
_TROUBLE: Final = "unable to create docker endpoint config: "
_BEGIN: Final = b"-----BEGIN "


class EndpointError(InvalidParameterError):
    """An endpoint is not well described."""

    def __init__(self, reason: str) -> None:
        super().__init__(_TROUBLE + reason)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An endpoint as the flag describes it.

    Attributes:
        original: The context that it is copied from; then nothing else counts.
        files: Contents by name, for TLS.
    """

    original: str = ""
    host: str = ""
    verify: bool = True
    files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)


def endpoint(text: str) -> Endpoint:
    """Read the pairs of ``--docker`` and the files that they name.

    Raises:
        EndpointError: A key is unknown, a file is missing, the host is none; Docker's words.
    """
    pairs = _pairs(text)
    for key in pairs:
        if key not in _KEYS:
            raise EndpointError(f"unrecognized config key: {key}")
    if original := pairs.get("from"):
        return Endpoint(original=original)
    skip = boolean(pairs.get("skip-tls-verify", "false"))
    if skip is None:
        raise EndpointError(f'skip-tls-verify: parsing "{pairs["skip-tls-verify"]}": invalid syntax')
    files = {f"{part}.pem": _content(path) for part in ("ca", "cert", "key") if (path := pairs.get(part))}
    _check_files(files)
    host = pairs.get("host", "")
    if host:
        _check_host(host)
    return Endpoint(host=host, verify=not skip, files=files)


def _pairs(text: str) -> dict[str, str]:
    # A single pair may have commas in its value.
    parts = next(csv.reader([text])) if text.count("=") != 1 else [text]
    return {key: value for key, _, value in (part.partition("=") for part in parts)}


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise EndpointError(f"open {path}: {(error.strerror or '').lower()}") from None


def _check_files(files: Mapping[str, bytes]) -> None:
    if _BEGIN not in files.get("ca.pem", _BEGIN):
        raise EndpointError(
            "invalid docker endpoint options: failed to retrieve context tls info: ca.pem seems invalid"
        )
    if _BEGIN not in files.get("key.pem", _BEGIN):
        raise EndpointError("invalid docker endpoint options: no valid private key found")


def _check_host(host: str) -> None:
    try:
        parse_host(host)
    except InvalidParameterError as error:
        raise EndpointError(f"unable to apply docker endpoint options: {error}") from None


def default_material(session: Session) -> Material:
    """Return the files for TLS of the environment.

    Raises:
        MoorageError: The environment's address can't be read.
    """
    tls = session.default_address.tls or TLSFiles()
    named = {"ca.pem": tls.ca, "cert.pem": tls.cert, "key.pem": tls.key}
    files = {name: path.read_bytes() for name, path in named.items() if path is not None and path.exists()}
    return {ENDPOINT: files} if files else {}
