"""Tags that are made of a digest: where registries keep what belongs to a manifest.

Pure: no I/O.

Spec: cosign, SIGNATURE_SPEC.md "Tag-based Discovery"; distribution-spec, "Referrers Tag Schema".
"""

import re
from typing import Final

from moorage.oci.digest import Digest, hex_of

_OF_REFERRERS: Final = re.compile(r"sha256-[0-9a-f]{64}(\.(sig|att|sbom))?")


def signature_tag(digest: Digest) -> str:
    """Return the tag under which the signatures of a manifest are."""
    return f"sha256-{hex_of(digest)}.sig"


def is_tag_of_referrers(tag: str) -> bool:
    """Tell whether a tag names no image, but what was said about one."""
    return _OF_REFERRERS.fullmatch(tag) is not None
