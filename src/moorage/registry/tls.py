"""Which certificates are believed, and which one is shown.

The system's bundle is believed (SSL_CERT_FILE and SSL_CERT_DIR name others), and what an administrator put into
``/etc/docker/certs.d/<host>/``: ``*.crt`` are authorities, ``*.cert`` with ``*.key`` identify this engine.

Spec: Docker's "Verify repository client with certificates".
"""

import ssl
from pathlib import Path
from typing import Final

from moorage.errors import InvalidParameterError

CERTIFICATE_DIRECTORIES: Final = (Path("/etc/docker/certs.d"), Path("/etc/moorage/certs.d"))


class MissingKeyError(InvalidParameterError):
    """A client certificate lies there without its key."""

    def __init__(self, certificate: Path) -> None:
        key = certificate.with_suffix(".key").name
        super().__init__(f"missing key {key} for client certificate {certificate.name}")


def tls_context(host: str, *, verify: bool) -> ssl.SSLContext:
    """Build the context for one registry; reads files, so call it from a thread."""
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    for directory in CERTIFICATE_DIRECTORIES:
        _add_certificates(context, directory=directory / host)
    return context


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
