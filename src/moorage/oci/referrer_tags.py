"""Tags that are made of a digest: where registries keep what belongs to a manifest.

Pure: no I/O.

Spec: cosign, SIGNATURE_SPEC.md "Tag-based Discovery"; distribution-spec, "Referrers Tag Schema".
"""

import re
from typing import Final

from moorage.oci.digest import Digest, hex_of

_SUFFIXES: Final = (".sig", ".att", ".sbom")
_OF_REFERRERS: Final = re.compile(r"sha256-[0-9a-f]{64}(\.(sig|att|sbom))?")


def referrers_tag(digest: Digest) -> str:
    """Return the tag of the list of what refers to a manifest, on registries that keep no such list themselves."""
    return f"sha256-{hex_of(digest)}"


def signature_tag(digest: Digest) -> str:
    """Return the tag under which the signatures of a manifest are."""
    return referrers_tag(digest) + _SUFFIXES[0]


def attached_tags(digest: Digest) -> tuple[str, ...]:
    """Return the tags under which cosign keeps what belongs to a manifest: signatures, attestations, SBOMs."""
    return tuple(referrers_tag(digest) + suffix for suffix in _SUFFIXES)


def is_tag_of_referrers(tag: str) -> bool:
    """Tell whether a tag names no image, but what was said about one."""
    return _OF_REFERRERS.fullmatch(tag) is not None
