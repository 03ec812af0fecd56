"""The index of the manifests that refer to another one.

Pure.

Spec: distribution-spec, "Listing Referrers".
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from moorage.distribution.manifests import StoredManifest
from moorage.oci import media_types
from moorage.oci.digest import Digest


def referrers_index(found: Iterable[tuple[Digest, int, StoredManifest]], *, artifact_type: str | None = None) -> bytes:
    """Return the index as it is sent.

    Args:
        found: Digest, size in bytes and content of each manifest that refers to the subject.
        artifact_type: List only manifests of this type.
    """
    entries = [
        _descriptor(digest, size, manifest)
        for digest, size, manifest in sorted(found, key=lambda each: each[0])
        if artifact_type is None or manifest.artifact_type == artifact_type
    ]
    return msgspec.json.encode({"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": entries})


def _descriptor(digest: Digest, size: int, manifest: StoredManifest) -> dict[str, Any]:
    entry: dict[str, Any] = {"mediaType": manifest.media_type, "digest": digest, "size": size}
    if manifest.artifact_type:
        entry["artifactType"] = manifest.artifact_type
    if manifest.annotations:
        entry["annotations"] = manifest.annotations
    return entry
