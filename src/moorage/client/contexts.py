"""Which engine a client means when nothing names one: the environment's answer.

The only reader of the environment on the client's side.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from moorage.client.address import DEFAULT_HOST, Address, TLSFiles, parse_host

_VARIABLES: Final = ("MOORAGE_HOST", "DOCKER_HOST")


def chosen_address(host: str | None = None, *, environment: Mapping[str, str] | None = None) -> Address:
    """Return the address given, or the environment's, or the default socket.

    ``DOCKER_TLS_VERIFY`` and ``DOCKER_CERT_PATH`` mean what they mean to Docker's clients.

    Raises:
        InvalidHostError: The address can't be read.
    """
    variables = os.environ if environment is None else environment
    text = host or next((variables[name] for name in _VARIABLES if variables.get(name)), DEFAULT_HOST)
    return parse_host(text, tls=_tls(variables) if text.startswith("tcp:") else None)


def _tls(variables: Mapping[str, str]) -> TLSFiles | None:
    verify = bool(variables.get("DOCKER_TLS_VERIFY"))
    if not verify and not variables.get("DOCKER_TLS"):
        return None
    directory = Path(variables.get("DOCKER_CERT_PATH") or Path.home() / ".docker")
    return TLSFiles(ca=directory / "ca.pem", cert=directory / "cert.pem", key=directory / "key.pem", verify=verify)
