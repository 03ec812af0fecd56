"""Signing what is in a registry.

The signatures of a manifest are the layers of another one, under a tag that is made of its digest: the form that
every verifier reads.

Spec: cosign, SIGNATURE_SPEC.md "Storage".
"""

import base64
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import msgspec

from moorage.oci import media_types
from moorage.oci.descriptor import Descriptor
from moorage.oci.digest import Digest, digest_of
from moorage.oci.manifest import Manifest
from moorage.oci.reference import Reference
from moorage.oci.referrer_tags import signature_tag
from moorage.registry.repository import Repository
from moorage.registry.uploads import Content
from moorage.signatures.claims import SIMPLE_SIGNING, Claim, encode_claim
from moorage.signatures.finding import SIGNATURE, find_signatures, manifest_of
from moorage.signatures.keys import PrivateKey
from moorage.signatures.verifying import Demand, judge

_CREATOR: Final = "moorage"
# Verifiers do not look at it, but registries want an image's config to be one.
_BEGINNING: Final = "0001-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Signs with all of its keys."""

    keys: tuple[PrivateKey, ...]

    async def sign(self, repository: Repository, *, digest: Digest, name: Reference) -> bool:
        """Put signatures beside a manifest that is in the repository; those that are there stay.

        Args:
            name: What the signature calls the image.

        Returns:
            Whether a signature was missing.

        Raises:
            MoorageError: The registry failed.
        """
        claim = Claim(digest=digest, identity=name.canonical)
        missing = [key for key in self.keys if not await _is_signed(repository, claim, key=key)]
        if not missing:
            return False
        tag = signature_tag(digest)
        kept = await manifest_of(repository, tag)
        layers = list(kept.layers) if kept is not None else []
        for key in missing:
            payload = encode_claim(claim, creator=_CREATOR, timestamp=int(time.time()))
            layer = await _upload(repository, payload, media_type=SIMPLE_SIGNING)
            signature = base64.b64encode(key.sign(payload)).decode()
            layers.append(msgspec.structs.replace(layer, annotations={SIGNATURE: signature}))
        config = await _upload(repository, _config(layers), media_type=media_types.OCI_CONFIG)
        manifest = Manifest(
            config=config, layers=tuple(layers), annotations=kept.annotations if kept is not None else None
        )
        await repository.put_manifest(msgspec.json.encode(manifest), target=tag, media_type=media_types.OCI_MANIFEST)
        return True


async def _is_signed(repository: Repository, claim: Claim, *, key: PrivateKey) -> bool:
    demand = Demand(keys=(key.public,), identity=None)
    reference = Reference(domain="", path="")
    async for found in find_signatures(repository, claim.digest):
        if judge(found, demand=demand, digest=claim.digest, reference=reference) == claim:
            return True
    return False


def _config(layers: list[Descriptor]) -> bytes:
    return msgspec.json.encode(
        {
            "architecture": "",
            "os": "",
            "created": _BEGINNING,
            "config": {},
            "history": [{"created": _BEGINNING} for _ in layers],
            "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
        }
    )


async def _upload(repository: Repository, data: bytes, *, media_type: str) -> Descriptor:
    blob = Descriptor(media_type=media_type, digest=digest_of(data), size=len(data))
    if not await repository.has_blob(blob.digest):
        await repository.upload(blob, _content(data))
    return blob


def _content(data: bytes) -> Content:
    async def pieces(offset: int) -> AsyncIterator[bytes]:
        yield data[offset:]

    return pieces
