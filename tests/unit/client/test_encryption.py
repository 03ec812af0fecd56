"""Which servers a client believes."""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moorage.client import connection
from moorage.client.address import TLSFiles
from moorage.registry import tls
from moorage.registry.endpoints import Trust

CERTIFICATES = Path(__file__).parents[1] / "server" / "certificates"
AUTHORITY = CERTIFICATES / "authority.pem"


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: connection.tls_context(TLSFiles(ca=AUTHORITY)), id="of the engine"),
        pytest.param(
            lambda: tls.tls_context("localhost", trust=Trust(authorities=(str(AUTHORITY),))), id="of registries"
        ),
    ],
)
def test_an_authority_that_does_not_say_what_its_key_is_for_is_believed(
    make: Callable[[], ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    ordinary = ssl.create_default_context

    def strict(*args: Any, **options: Any) -> ssl.SSLContext:
        # Newer versions of Python do so by themselves.
        context = ordinary(*args, **options)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", strict)
    assert shake_hands(make()) == ((("commonName", "server"),),)


def shake_hands(client: ssl.SSLContext) -> object:
    """Return whom the client takes the server for."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(CERTIFICATES / "server.pem", CERTIFICATES / "server.key")
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for side in (ours, theirs, ours):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    certificate = ours.getpeercert()
    assert certificate is not None
    return certificate["subject"]
