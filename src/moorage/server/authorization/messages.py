"""What the daemon tells an authorization plugin, and what it answers.

Pure: values in, bytes out, and the other way round.

Spec: Docker Engine extension, "Access authorization plugin", "API schema and implementation";
"Docker Plugin API", "Handshake API".
"""

import re
import ssl
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from msgspec import field

from moorage.api.wire import Model, read_json
from moorage.errors import InvalidParameterError
from moorage.server.heads import RequestHead
from moorage.server.responses import JSON_TYPE, Response, encode_json

#: Bytes of the largest body of a request that plugins are shown.
BODY_LIMIT: Final = 1024 * 1024
INTERFACE: Final = "authz"
ACTIVATE: Final = "Plugin.Activate"
ASK_REQUEST: Final = "AuthZPlugin.AuthZReq"
ASK_RESPONSE: Final = "AuthZPlugin.AuthZRes"
MESSAGE_TYPE: Final = "application/vnd.docker.plugins.v1.2+json"

_CREDENTIALS: Final = frozenset({"authorization", "x-registry-auth", "x-registry-config"})
#: Go's server takes these out of the fields that it hands on, so no plugin has ever seen them.
_FRAMING: Final = frozenset({"host", "transfer-encoding"})
#: Its body is a password.
_LOGIN: Final = re.compile(r"(/v[0-9.]+)?/auth")
#: What stands in a path for itself (RFC 3986, "Path"), so that nothing else can stand in a message.
_PATH_CHARACTERS: Final = "/:@!$&'()*+,;=~"


class UnseenBodyError(InvalidParameterError):
    """A body that plugins would have to judge without having seen it."""

    def __init__(self) -> None:
        super().__init__(f"request body is larger than {BODY_LIMIT} bytes, which authorization plugins cannot check")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who asks, as far as the connection tells.

    Attributes:
        user: The common name in the client's certificate; "" without one.
        method: How that is known: TLS, or "".
        certificate: The client's, in PEM; "" without one.
    """

    user: str = ""
    method: str = ""
    certificate: str = ""


NOBODY: Final = Identity()


class Question(Model):
    """A request, and after it was handled also the answer to it."""

    user: str = ""
    #: The capital N is the protocol's own.
    user_auth_n_method: str = ""
    request_method: str = ""
    #: Spelled like this on the wire, whatever the documentation's text says.
    request_uri: str = ""
    request_body: bytes = b""
    request_headers: dict[str, str] = field(default_factory=dict)
    request_peer_certificates: list[bytes] = field(default_factory=list)
    response_status_code: int = 0
    response_body: bytes = b""
    response_headers: dict[str, str] = field(default_factory=dict)


class Verdict(Model):
    """What a plugin says; an error counts more than permission."""

    allow: bool = False
    msg: str = ""
    err: str = ""


class Manifest(Model):
    """What a plugin can do."""

    implements: list[str] = field(default_factory=list)


def identify(engine: ssl.SSLObject | None) -> Identity:
    """Return who is at the other end of a connection; nobody without a certificate that was verified."""
    certificate = engine.getpeercert() if engine is not None else None
    if engine is None or not certificate:
        return NOBODY
    der = engine.getpeercert(binary_form=True) or b""
    subject = certificate.get("subject", ())
    names = [pair[1] for parts in subject if isinstance(parts, tuple) for pair in parts if pair[0] == "commonName"]
    return Identity(user=str(names[-1]) if names else "", method="TLS", certificate=ssl.DER_cert_to_PEM_cert(der))


def shows_body(head: RequestHead) -> bool:
    """Tell whether plugins see the body of a request: JSON without passwords."""
    return _is_json(head.headers.get("content-type", "")) and _LOGIN.fullmatch(head.path) is None


def request_question(head: RequestHead, body: bytes, *, identity: Identity) -> Question:
    """Return the question whether a request may be handled."""
    # The path that is routed, not the bytes that came: what a plugin compares must be what is done.
    path = urllib.parse.quote(head.path, safe=_PATH_CHARACTERS)
    return Question(
        user=identity.user,
        user_auth_n_method=identity.method,
        request_method=head.method,
        request_uri=f"{path}?{head.query}" if head.query else path,
        request_body=body,
        request_headers=_fields(head.headers),
        request_peer_certificates=[identity.certificate.encode()] if identity.certificate else [],
    )


def response_question(request: Question, response: Response) -> Question:
    """Return the question whether the answer to a request may be given."""
    content = {"Content-Type": response.content_type} if response.content_type else {}
    return Question(
        user=request.user,
        user_auth_n_method=request.user_auth_n_method,
        request_method=request.request_method,
        request_uri=request.request_uri,
        request_body=request.request_body,
        request_headers=request.request_headers,
        request_peer_certificates=request.request_peer_certificates,
        response_status_code=response.status,
        response_body=response.body if _is_json(response.content_type) else b"",
        response_headers=_fields(content | dict(response.headers)),
    )


def encode_question(question: Question) -> bytes:
    """Return the message."""
    return encode_json(question)


def read_verdict(data: bytes) -> Verdict:
    """Return what a plugin said.

    Raises:
        MalformedBodyError: It said nothing of the kind.
    """
    return read_json(data, Verdict)


def read_manifest(data: bytes) -> Manifest:
    """Return what a plugin can do.

    Raises:
        MalformedBodyError: It did not say.
    """
    return read_json(data, Manifest)


def _is_json(content_type: str) -> bool:
    # The same reading as the one that decides whether a handler takes the body.
    return content_type.partition(";")[0].strip().lower() == JSON_TYPE


def _fields(headers: Mapping[str, str]) -> dict[str, str]:
    """Return header fields with names as Go writes them, without credentials."""
    return {
        "-".join(part.capitalize() for part in name.split("-")): value
        for name, value in headers.items()
        if name.lower() not in _CREDENTIALS | _FRAMING
    }
