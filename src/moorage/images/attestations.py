"""What is attached to an image in its index: statements about how it was built, and of what.

Spec: BuildKit, "Attestation storage"; in-toto, "Statement layer"; Engine API, GET /images/{name}/attestations.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from moorage.api.descriptors import OCIDescriptor
from moorage.api.images import AttestationStatement
from moorage.errors import MoorageError
from moorage.images.catalog import ImageCatalog
from moorage.oci.manifest import Manifest, decode_manifest
from moorage.oci.platform import Platform, host_platform

if TYPE_CHECKING:
    from moorage.content.store import BlobStore
    from moorage.images.indexes import KeptIndex
    from moorage.oci.digest import Digest
    from moorage.registry.repository import Repository

_log = logging.getLogger(__name__)
_PREDICATE: Final = "in-toto.io/predicate-type"
# A software bill of materials of a large image has some megabytes. More is not fetched unasked.
_LIMIT: Final = 32 << 20


async def fetch_attestations(repository: Repository, index: KeptIndex, *, about: Digest) -> dict[Digest, bytes]:
    """Fetch what speaks about one image of an index: manifests and all that they list, by digest.

    A pull does not fail for want of it.
    """
    found: dict[Digest, bytes] = {}
    for entry in index.attestations(about):
        try:
            fetched = await repository.manifest(entry.digest)
            if not isinstance(fetched.document, Manifest):
                continue
            blobs = [fetched.document.config, *fetched.document.layers]
            if sum(blob.size for blob in blobs) > _LIMIT:
                _log.warning("Attestation %s is larger than %d bytes and is not kept", entry.digest, _LIMIT)
                continue
            contents = {blob.digest: await repository.small_blob(blob, limit=_LIMIT) for blob in blobs}
        except MoorageError as error:
            _log.warning("Attestation %s is not to be had: %s", entry.digest, error)
            continue
        found |= {fetched.digest: fetched.raw, **contents}
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestations:
    """Reads what is attached to images."""

    catalog: ImageCatalog
    blobs: BlobStore

    async def of(
        self, reference: str, *, platform: Platform | None, types: Collection[str] = (), statements: bool = False
    ) -> list[AttestationStatement]:
        """Return the statements about an image.

        Args:
            platform: None takes the host's.
            types: Only these predicate types; all if empty.
            statements: With the statements' text.

        Raises:
            ImageNotFoundError: There is no such image.
            ImagePlatformMismatchError: It is not here for this platform.
        """
        image = self.catalog.resolve(reference, platform=platform or host_platform())
        found: list[AttestationStatement] = []
        for index in self.catalog.indexes_with(image):
            for entry in index.attestations(image.manifest):
                if self.blobs.contains(entry.digest):
                    found += await self._statements(entry.digest, types=types, statements=statements)
        return list({one.descriptor.digest: one for one in found}.values())

    async def _statements(
        self, manifest: Digest, *, types: Collection[str], statements: bool
    ) -> list[AttestationStatement]:
        document = decode_manifest(await self.blobs.read(manifest))
        found: list[AttestationStatement] = []
        for layer in document.layers if isinstance(document, Manifest) else ():
            predicate = (layer.annotations or {}).get(_PREDICATE, "")
            if not predicate or (types and predicate not in types) or not self.blobs.contains(layer.digest):
                continue
            text = msgspec.Raw(await self.blobs.read(layer.digest, limit=_LIMIT)) if statements else None
            descriptor = OCIDescriptor(
                media_type=layer.media_type, digest=layer.digest, size=layer.size, annotations=layer.annotations or {}
            )
            found.append(AttestationStatement(descriptor=descriptor, predicate_type=predicate, statement=text))
        return found
