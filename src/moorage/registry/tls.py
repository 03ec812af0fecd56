"""Which certificates are believed, and which one is shown.

The system's bundle is believed (SSL_CERT_FILE and SSL_CERT_DIR name others), and what an administrator put into
``/etc/docker/certs.d/<host>/``: ``*.crt`` are authorities, ``*.cert`` with ``*.key`` identify this engine, and
``hosts.toml`` says which servers to ask.

Spec: Docker's "Verify repository client with certificates".
"""

import contextlib
import ssl
from pathlib import Path
from typing import Final

from moorage.errors import InvalidParameterError
from moorage.registry.endpoints import Trust
from moorage.registry.hosts import Hosts, parse_hosts

CERTIFICATE_DIRECTORIES: Final = (Path("/etc/docker/certs.d"), Path("/etc/moorage/certs.d"))


class MissingKeyError(InvalidParameterError):
    """A client certificate lies there without its key."""

    def __init__(self, certificate: Path) -> None:
        key = certificate.with_suffix(".key").name
        super().__init__(f"missing key {key} for client certificate {certificate.name}")


def tls_context(host: str, *, trust: Trust) -> ssl.SSLContext:
    """Build the context for one registry; reads files, so call it from a thread."""
    context = ssl.create_default_context()
    # From Python 3.13 on this is the default, and refuses what `openssl req -x509` makes: authorities
    # that don't say what their key is for. Docker takes them.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not trust.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    for directory in CERTIFICATE_DIRECTORIES:
        _add_certificates(context, directory=directory / host)
    for authority in trust.authorities:
        context.load_verify_locations(cafile=authority)
    for certificate, key in trust.certificates:
        context.load_cert_chain(certificate, key)
    return context


def read_hosts(host: str) -> Hosts | None:
    """Return what the administrator wrote about a registry's hosts; None for nothing. Reads files.

    Raises:
        InvalidHostsError: It can't be understood.
    """
    for name in (host, host.replace(":", "_", 1), "_default"):
        for directory in reversed(CERTIFICATE_DIRECTORIES):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                text = (directory / name / "hosts.toml").read_text(encoding="utf-8")
                return parse_hosts(text, directory=directory / name)
    return None


def _add_certificates(context: ssl.SSLContext, *, directory: Path) -> None:
    if not directory.is_dir():
        return
    for authority in sorted(directory.glob("*.crt")):
        context.load_verify_locations(cafile=authority)
    for certificate in sorted(directory.glob("*.cert")):
        key = certificate.with_suffix(".key")
        if not key.exists():
            raise MissingKeyError(certificate)
        context.load_cert_chain(certificate, key)
