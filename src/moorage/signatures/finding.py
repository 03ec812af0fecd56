"""Finding the signatures of a manifest in its repository.

Spec: cosign, SIGNATURE_SPEC.md "Discovery"; distribution-spec, "Listing Referrers".
"""

import base64
import binascii
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from moorage.oci.descriptor import Descriptor
from moorage.oci.digest import Digest
from moorage.oci.manifest import InvalidManifestError, Manifest
from moorage.oci.referrer_tags import signature_tag
from moorage.registry.errors import BlobAnswerError, RegistryAnswerError, RegistryError
from moorage.registry.repository import Repository
from moorage.signatures.claims import (
    BUNDLE_PREFIX,
    SIMPLE_SIGNING,
    Claim,
    decode_bundle,
    decode_claim,
    decode_statement,
)
from moorage.signatures.errors import MalformedSignatureError

SIGNATURE: Final = "dev.cosignproject.cosign/signature"
_ARTIFACT: Final = "application/vnd.dev.cosign.artifact.sig.v1+json"
_UNTYPED: Final = "application/vnd.oci.empty.v1+json"
# Who may write to a repository must not be able to make its readers work without end.
_PAYLOAD_LIMIT: Final = 1 << 20
_MOST: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Something that may be a signature; nothing in it is to be believed before a key has verified it.

    Attributes:
        signed: What the signatures cover.
        read: Returns the claim in what is signed.
    """

    signed: bytes
    signatures: tuple[bytes, ...]
    read: Callable[[], Claim]


Found = Candidate | MalformedSignatureError


async def find_signatures(repository: Repository, digest: Digest) -> AsyncIterator[Found]:
    """Yield what may be signatures of a manifest: first those under its tag, then those that refer to it.

    Raises:
        MoorageError: The registry failed: it is not known whether there are signatures.
    """
    if (kept := await manifest_of(repository, signature_tag(digest))) is not None:
        async for found in _simple(repository, kept):
            yield found
    for entry in (await repository.referrers(digest))[:_MOST]:
        if not _may_sign(entry):
            continue
        referrer = await manifest_of(repository, entry.digest)
        if referrer is None or referrer.subject is None or referrer.subject.digest != digest:
            continue
        async for found in _simple(repository, referrer):
            yield found
        async for found in _bundles(repository, referrer):
            yield found


def _may_sign(entry: Descriptor) -> bool:
    # Lists under a tag are written by clients, and some put the type of the empty config there.
    kind = entry.artifact_type or _UNTYPED
    return kind in {_ARTIFACT, _UNTYPED} or kind.startswith(BUNDLE_PREFIX)


async def manifest_of(repository: Repository, target: str) -> Manifest | None:
    """Fetch the manifest that holds signatures; None when there is none."""
    try:
        document = (await repository.manifest(target)).document
    except (RegistryError, RegistryAnswerError) as error:
        if error.status == 404:
            return None
        raise
    except InvalidManifestError:
        return None
    return document if isinstance(document, Manifest) else None


async def _simple(repository: Repository, manifest: Manifest) -> AsyncIterator[Found]:
    for layer in manifest.layers[:_MOST]:
        text = (layer.annotations or {}).get(SIGNATURE)
        if layer.media_type != SIMPLE_SIGNING or text is None:
            continue
        try:
            signature = base64.b64decode(text, validate=True)
            payload = await _payload(repository, layer)
        except (binascii.Error, ValueError):
            yield MalformedSignatureError("a signature is no base64")
        except MalformedSignatureError as error:
            yield error
        else:
            yield simple_candidate(payload, signature)


def simple_candidate(payload: bytes, signature: bytes) -> Candidate:
    """Return a signature over a payload itself."""
    return Candidate(signed=payload, signatures=(signature,), read=lambda: decode_claim(payload))


async def _bundles(repository: Repository, manifest: Manifest) -> AsyncIterator[Found]:
    for layer in manifest.layers[:_MOST]:
        if not layer.media_type.startswith(BUNDLE_PREFIX):
            continue
        try:
            yield bundle_candidate(await _payload(repository, layer))
        except MalformedSignatureError as error:
            yield error


def bundle_candidate(raw: bytes) -> Candidate:
    """Return the signature in a sigstore bundle.

    Raises:
        MalformedSignatureError: There is none that is readable.
    """
    envelope = decode_bundle(raw)
    return Candidate(
        signed=envelope.signed, signatures=envelope.signatures[:_MOST], read=lambda: decode_statement(envelope)
    )


async def _payload(repository: Repository, layer: Descriptor) -> bytes:
    try:
        return await repository.small_blob(layer, limit=_PAYLOAD_LIMIT)
    except BlobAnswerError as error:
        raise MalformedSignatureError(f"the payload of a signature is not what it should be: {error}") from error
    except (RegistryError, RegistryAnswerError) as error:
        if error.status == 404:
            raise MalformedSignatureError("the payload of a signature is missing") from error
        raise
