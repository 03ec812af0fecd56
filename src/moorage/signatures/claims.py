"""What is signed: the claim that a manifest goes by a name.

Pure: no I/O and no keys.

Spec: cosign, SIGNATURE_SPEC.md "Payloads"; containers-signature(5); DSSE, protocol.md; in-toto Statement v1.
"""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any, Final

from moorage.oci.digest import Digest, InvalidDigestError, parse_digest
from moorage.signatures import strict_json
from moorage.signatures.errors import MalformedSignatureError
from moorage.signatures.strict_json import StrictJSONError

SIMPLE_SIGNING: Final = "application/vnd.dev.cosign.simplesigning.v1+json"
BUNDLE_PREFIX: Final = "application/vnd.dev.sigstore.bundle.v0.3"
_TYPE: Final = "cosign container image signature"
_IN_TOTO: Final = "application/vnd.in-toto+json"
_STATEMENT: Final = "https://in-toto.io/Statement/v1"
# A statement of another kind, such as a list of packages, says nothing about whether the image may run.
_SIGN_PREDICATE: Final = "https://sigstore.dev/cosign/sign/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A manifest, and the name its signer gave it.

    Attributes:
        identity: A reference or a repository; empty when the signer named none.
    """

    digest: Digest
    identity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A signed text with its type, and its signatures.

    Spec: DSSE, envelope.md.
    """

    payload_type: str
    payload: bytes
    signatures: tuple[bytes, ...]

    @property
    def signed(self) -> bytes:
        """The bytes that the signatures cover.

        Spec: DSSE, protocol.md "Signature Definition" (PAE).
        """
        kind = self.payload_type.encode()
        return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(self.payload), self.payload)


def encode_claim(claim: Claim, *, creator: str, timestamp: int) -> bytes:
    """Return the payload that cosign, skopeo and podman verify.

    Args:
        timestamp: Seconds since the epoch.
    """
    document = {
        "critical": {
            "identity": {"docker-reference": claim.identity},
            "image": {"docker-manifest-digest": claim.digest},
            "type": _TYPE,
        },
        "optional": {"creator": creator, "timestamp": timestamp},
    }
    return json.dumps(document, separators=(",", ":")).encode()


def decode_claim(raw: bytes) -> Claim:
    """Read a payload whose signature has been verified.

    Raises:
        MalformedSignatureError: It is not of cosign's form, to the letter.
    """
    try:
        document = strict_json.fields(strict_json.decode(raw), required=("critical", "optional"))
        critical = strict_json.fields(document["critical"], required=("type", "image", "identity"))
        image = strict_json.fields(critical["image"], required=("docker-manifest-digest",))
        identity = strict_json.fields(critical["identity"], required=("docker-reference",))
        _check_type(critical["type"])
        return Claim(
            digest=parse_digest(strict_json.text(image["docker-manifest-digest"], name="docker-manifest-digest")),
            identity=strict_json.text(identity["docker-reference"], name="docker-reference"),
        )
    except (StrictJSONError, InvalidDigestError) as error:
        raise MalformedSignatureError(f"the payload of a signature is malformed: {error}") from error


def decode_bundle(raw: bytes) -> Envelope:
    """Read the envelope of a sigstore bundle.

    Raises:
        MalformedSignatureError: It has none that is readable.

    Spec: sigstore, protobuf-specs "Bundle", version 0.3.
    """
    try:
        envelope = strict_json.decode(raw)["dsseEnvelope"]
        return Envelope(
            payload_type=strict_json.text(envelope["payloadType"], name="payloadType"),
            payload=_decoded(envelope["payload"]),
            signatures=tuple(_decoded(one["sig"]) for one in envelope["signatures"]),
        )
    except (StrictJSONError, KeyError, TypeError, binascii.Error) as error:
        raise MalformedSignatureError(f"the bundle of a signature is malformed: {error}") from error


def decode_statement(envelope: Envelope) -> Claim:
    """Read the statement of an envelope whose signature has been verified.

    Raises:
        MalformedSignatureError: It does not say that an image is signed.
    """
    if envelope.payload_type != _IN_TOTO:
        raise MalformedSignatureError(f"the envelope of a signature holds {envelope.payload_type!r}")
    try:
        document = strict_json.decode(envelope.payload)
        kind, predicate = document["_type"], document["predicateType"]
        if (kind, predicate) != (_STATEMENT, _SIGN_PREDICATE):
            raise MalformedSignatureError(f"a statement of the kind {predicate!r} signs no image")
        (subject,) = document["subject"]
        return Claim(digest=parse_digest(f"sha256:{subject['digest']['sha256']}"), identity=_name(subject))
    except (StrictJSONError, KeyError, TypeError, ValueError, InvalidDigestError) as error:
        raise MalformedSignatureError(f"the statement of a signature is malformed: {error}") from error


def _check_type(kind: Any) -> None:
    if kind != _TYPE:
        raise StrictJSONError(f"it is of the type {kind!r}")


def _name(subject: dict[str, Any]) -> str:
    return strict_json.text(subject.get("name", ""), name="name")


def _decoded(text: Any) -> bytes:
    return base64.b64decode(strict_json.text(text, name="base64"), validate=True)
