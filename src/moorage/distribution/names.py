"""Repository names, tags and digests as they stand in a registry's URLs.

Pure. Unlike the engine, a registry takes sha512 digests too.

Spec: distribution-spec, "Pulling manifests"; image-spec, descriptor.md "Registered Algorithms".
"""

import hashlib
import re
from typing import Final

from moorage.distribution.errors import RegistryRefusal
from moorage.oci.digest import Digest

_LENGTHS: Final = {"sha256": 64, "sha512": 128}
_NAME: Final = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_NAME_LENGTH: Final = 255
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_HEX: Final = re.compile(r"[a-f0-9]+")
DEFAULT_ALGORITHM: Final = "sha256"


def check_repository(text: str) -> str:
    """Return a repository's name as it is.

    Raises:
        RegistryRefusal: NAME_INVALID.
    """
    if len(text) > _NAME_LENGTH or not _NAME.fullmatch(text):
        raise RegistryRefusal("NAME_INVALID", "invalid repository name", detail={"name": text})
    return text


def check_tag(text: str) -> str:
    """Return a tag as it is.

    Raises:
        RegistryRefusal: TAG_INVALID.
    """
    if not _TAG.fullmatch(text):
        raise RegistryRefusal("TAG_INVALID", "invalid tag name", detail={"tag": text})
    return text


def check_digest(text: str) -> Digest:
    """Return a digest as it is.

    Raises:
        RegistryRefusal: DIGEST_INVALID: it is malformed, or of an algorithm that can't be verified here.
    """
    algorithm, _, encoded = text.partition(":")
    if _LENGTHS.get(algorithm) != len(encoded) or not _HEX.fullmatch(encoded):
        raise RegistryRefusal("DIGEST_INVALID", "invalid digest", detail={"digest": text})
    return Digest(text)


def check_algorithm(text: str) -> str:
    """Return the name of a hash algorithm as it is.

    Raises:
        RegistryRefusal: DIGEST_INVALID.
    """
    if text not in _LENGTHS:
        raise RegistryRefusal("DIGEST_INVALID", "unsupported digest algorithm", detail={"algorithm": text})
    return text


def algorithm_of(digest: Digest) -> str:
    """Return the algorithm of a digest."""
    return digest.partition(":")[0]


def is_digest(text: str) -> bool:
    """Tell whether a reference in a URL means a digest rather than a tag."""
    return ":" in text


def content_digest(data: bytes, algorithm: str = DEFAULT_ALGORITHM) -> Digest:
    """Return the digest of bytes held in memory."""
    return Digest(f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}")
