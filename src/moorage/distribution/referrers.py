"""The index of the manifests that refer to another one.

Pure.

Spec: distribution-spec, "Listing Referrers".
"""

from collections.abc import Iterable

import msgspec

from moorage.distribution.manifests import StoredManifest
from moorage.oci.descriptor import Descriptor
from moorage.oci.digest import Digest
from moorage.oci.manifest import Index


def referrers_index(found: Iterable[Descriptor], *, artifact_type: str | None = None) -> bytes:
    """Return the index as it is sent.

    Args:
        artifact_type: List only manifests of this type.
    """
    listed = [each for each in found if artifact_type is None or each.artifact_type == artifact_type]
    return msgspec.json.encode(Index(manifests=tuple(sorted(listed, key=lambda each: each.digest))))


def describe(digest: Digest, size: int, manifest: StoredManifest) -> Descriptor:
    """Return a manifest's entry in the index.

    Args:
        size: Bytes of the manifest.
    """
    return Descriptor(
        media_type=manifest.media_type, digest=digest, size=size, artifact_type=manifest.artifact_type or None,
        annotations=manifest.annotations or None,
    )  # fmt: skip
