"""Which of the registry's operations a path means.

Pure. A repository's name has slashes of its own, so the end of a path decides.

Spec: distribution-spec, "Endpoints".
"""

import enum
import re
from dataclasses import dataclass
from typing import Final

from moorage.distribution.errors import RegistryRefusal


class Resource(enum.Enum):
    """What a path is about."""

    BASE = "base"
    CATALOG = "catalog"
    BLOB = "blob"
    UPLOADS = "uploads"
    UPLOAD = "upload"
    MANIFEST = "manifest"
    TAGS = "tags"
    REFERRERS = "referrers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One resource of one repository.

    Attributes:
        repository: Not checked yet; empty for what concerns the whole registry.
        reference: Digest, tag or session, as the resource needs; empty if it needs none.
    """

    resource: Resource
    repository: str = ""
    reference: str = ""


_PATTERNS: Final = tuple(
    (resource, re.compile(rf"/v2/(?P<repository>.+){ending}"))
    for resource, ending in (
        (Resource.UPLOADS, r"/blobs/uploads/?"),
        (Resource.UPLOAD, r"/blobs/uploads/(?P<reference>[^/]+)"),
        (Resource.BLOB, r"/blobs/(?P<reference>[^/]+)"),
        (Resource.MANIFEST, r"/manifests/(?P<reference>[^/]+)"),
        (Resource.TAGS, r"/tags/list"),
        (Resource.REFERRERS, r"/referrers/(?P<reference>[^/]+)"),
    )
)


def find_route(path: str) -> Route:
    """Return what a decoded path means.

    Raises:
        RegistryRefusal: It means nothing.
    """
    if path in {"/v2", "/v2/"}:
        return Route(resource=Resource.BASE)
    if path == "/v2/_catalog":
        return Route(resource=Resource.CATALOG)
    for resource, pattern in _PATTERNS:
        if match := pattern.fullmatch(path):
            return Route(resource=resource, **match.groupdict())
    raise RegistryRefusal("NAME_UNKNOWN", "page not found", detail={"path": path})
