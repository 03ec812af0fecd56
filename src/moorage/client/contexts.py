"""Which engine a client means when nothing names one: what the environment and the user's settings say."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from moorage.api.versions import Version, read_version
from moorage.client.address import DEFAULT_HOST, Address, TLSFiles, parse_host
from moorage.client.user_settings import config_directory, read_settings
from moorage.errors import InvalidParameterError

DEFAULT_CONTEXT: Final = "default"
HOST_VARIABLES: Final = ("MOORAGE_HOST", "DOCKER_HOST")
_VERSION_VARIABLES: Final = ("MOORAGE_API_VERSION", "DOCKER_API_VERSION")


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
    """Return the address given, or that of the context in use, or the default socket.

    Args:
        context: The name of one of Docker's contexts.

    Raises:
        InvalidHostError: The address can't be read.
        ContextError: There is no such context.
        ConflictingAddressError: Both a host and a context are given.
        UserSettingsError: The user's settings can't be read.
    """
    variables = os.environ if environment is None else environment
    name = current_context(host, context=context, environment=variables)
    if name != DEFAULT_CONTEXT:
        return _stored_address(name, config_directory(variables))
    text = _completed(host or named_host(variables) or DEFAULT_HOST)
    return parse_host(text, tls=_tls(variables, tls or TLSChoice()) if text.startswith("tcp:") else None)


def _completed(text: str) -> str:
    """Return an address with what Docker's clients take for granted where a user leaves it out."""
    scheme, separator, place = text.rpartition("://")
    if not separator:
        scheme = "tcp"
    if scheme == "tcp" and (not place or place.startswith(":")):
        place = f"localhost{place}"
    return DEFAULT_HOST if scheme == "unix" and not place else f"{scheme}://{place}"


def current_context(host: str | None = None, *, context: str = "", environment: Mapping[str, str] | None = None) -> str:
    """Return the name of the context in use, whether or not there is one of this name.

    The order is that of Docker's clients: the command line, the variable of a host, which
    means the default context, ``DOCKER_CONTEXT``, and what ``context use`` chose.

    Raises:
        ConflictingAddressError: Both a host and a context are given.
        UserSettingsError: The user's settings can't be read.
    """
    variables = os.environ if environment is None else environment
    if host and context:
        raise ConflictingAddressError("conflicting options: cannot specify both --host and --context")
    if context:
        return context
    if host or named_host(variables):
        return DEFAULT_CONTEXT
    return variables.get("DOCKER_CONTEXT") or str(read_settings(variables).get("currentContext") or DEFAULT_CONTEXT)


def named_host(variables: Mapping[str, str]) -> str:
    """Return the host that the environment names, or nothing."""
    return next((variables[name] for name in HOST_VARIABLES if variables.get(name)), "")


def pinned_version(environment: Mapping[str, str] | None = None) -> Version | None:
    """Return the API version of the environment: it is spoken without asking what the engine would like.

    Raises:
        MalformedVersionError: It can't be read.
    """
    variables = os.environ if environment is None else environment
    text = next((variables[name] for name in _VERSION_VARIABLES if variables.get(name)), None)
    return None if text is None else read_version(text)


def _stored_address(name: str, directory: Path) -> Address:
    # Few clients have contexts, and every one waits for what is imported.
    from moorage.client.context_store import ENDPOINT, ContextError, ContextStore  # noqa: PLC0415

    store = ContextStore(directory)
    try:
        context = store.find(name)
    except ContextError as error:
        raise ContextError(f"unable to resolve docker endpoint: {error}") from None
    if ENDPOINT not in context.endpoints:
        raise ContextError(f'unable to resolve docker endpoint: context "{name}" has no docker endpoint')
    host = context.host or DEFAULT_HOST
    stored = store.tls_path(name) / ENDPOINT
    if not stored.is_dir():
        return parse_host(host)
    ca, cert, key = (file if (file := stored / f"{part}.pem").exists() else None for part in ("ca", "cert", "key"))
    return parse_host(host, tls=TLSFiles(ca=ca, cert=cert, key=key, verify=context.verifies))


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
