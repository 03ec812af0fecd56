"""Which engine a client means when nothing names one: the environment's answer.

The only reader of the environment on the client's side.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from moorage.api.versions import Version, read_version
from moorage.client.address import DEFAULT_HOST, Address, TLSFiles, parse_host
from moorage.errors import InvalidParameterError, NotFoundError

_VARIABLES: Final = ("MOORAGE_HOST", "DOCKER_HOST")
_VERSION_VARIABLES: Final = ("MOORAGE_API_VERSION", "DOCKER_API_VERSION")


class ContextError(NotFoundError):
    """No context has this name, or what is stored of it can't be used."""


class ConflictingAddressError(InvalidParameterError):
    """Two places were named at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TLSChoice:
    """What the command line says of encryption; files that are not named are those of the environment."""

    encrypt: bool = False
    verify: bool = False
    ca: str = ""
    certificate: str = ""
    key: str = ""


def chosen_address(
    host: str | None = None,
    *,
    context: str = "",
    tls: TLSChoice | None = None,
    environment: Mapping[str, str] | None = None,
) -> Address:
    """Return the address given, or the environment's, or the default socket.

    ``DOCKER_CONTEXT``, ``DOCKER_TLS_VERIFY`` and ``DOCKER_CERT_PATH`` mean what they mean to
    Docker's clients.

    Args:
        context: The name of one of Docker's contexts.

    Raises:
        InvalidHostError: The address can't be read.
        ContextError: There is no such context.
        ConflictingAddressError: Both a host and a context are given.
    """
    variables = os.environ if environment is None else environment
    if host and context:
        raise ConflictingAddressError("conflicting options: cannot specify both --host and --context")
    text = host or next((variables[name] for name in _VARIABLES if variables.get(name)), "")
    named = context or ("" if text else variables.get("DOCKER_CONTEXT", ""))
    if named and named != "default":
        return _stored_address(named, config_directory(variables))
    text = text or DEFAULT_HOST
    return parse_host(text, tls=_tls(variables, tls or TLSChoice()) if text.startswith("tcp:") else None)


def pinned_version(environment: Mapping[str, str] | None = None) -> Version | None:
    """Return the API version of the environment: it is spoken without asking what the engine would like.

    Raises:
        MalformedVersionError: It can't be read.
    """
    variables = os.environ if environment is None else environment
    text = next((variables[name] for name in _VERSION_VARIABLES if variables.get(name)), None)
    return None if text is None else read_version(text)


def config_directory(variables: Mapping[str, str]) -> Path:
    """Return where Docker's clients keep what users have set."""
    return Path(variables.get("DOCKER_CONFIG") or Path.home() / ".docker")


def _stored_address(name: str, directory: Path) -> Address:
    # Few clients have contexts, and every one waits for what is imported.
    import hashlib  # noqa: PLC0415
    import json  # noqa: PLC0415

    identity = hashlib.sha256(name.encode()).hexdigest()
    file = directory / "contexts" / "meta" / identity / "meta.json"
    try:
        endpoint = json.loads(file.read_bytes())["Endpoints"]["docker"]
        host, verify = str(endpoint["Host"]), not endpoint.get("SkipTLSVerify", False)
    except FileNotFoundError:
        raise ContextError(
            f'unable to resolve docker endpoint: context "{name}": context not found: open {file}: '
            "no such file or directory"
        ) from None
    except (OSError, ValueError, KeyError, TypeError):
        raise ContextError(f'unable to resolve docker endpoint: context "{name}" has no docker endpoint') from None
    stored = directory / "contexts" / "tls" / identity / "docker"
    if not stored.is_dir():
        return parse_host(host)
    ca, cert, key = (file if (file := stored / f"{part}.pem").exists() else None for part in ("ca", "cert", "key"))
    return parse_host(host, tls=TLSFiles(ca=ca, cert=cert, key=key, verify=verify))


def _tls(variables: Mapping[str, str], choice: TLSChoice) -> TLSFiles | None:
    verify = choice.verify or bool(variables.get("DOCKER_TLS_VERIFY"))
    if not verify and not choice.encrypt and not variables.get("DOCKER_TLS"):
        return None
    directory = Path(variables.get("DOCKER_CERT_PATH") or config_directory(variables))
    return TLSFiles(
        ca=Path(choice.ca or directory / "ca.pem"),
        cert=Path(choice.certificate or directory / "cert.pem"),
        key=Path(choice.key or directory / "key.pem"),
        verify=verify,
    )
