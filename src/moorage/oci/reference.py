"""Image references: how people name images, and the one full name behind each.

`alpine` is `docker.io/library/alpine:latest`; `localhost:5000/a` names a registry. The familiar form is what
people type and read, the canonical form is what is stored.

Pure: no I/O.

Spec: distribution-spec, "Pulling manifests"; the grammar is that of Docker's reference package.
"""

import re
from dataclasses import dataclass, replace
from typing import Final

from moorage.errors import InvalidParameterError
from moorage.oci.digest import Digest
from moorage.oci.glob import matches_glob

DEFAULT_DOMAIN: Final = "docker.io"
DEFAULT_TAG: Final = "latest"
_LEGACY_DEFAULT_DOMAIN: Final = "index.docker.io"
_OFFICIAL_PREFIX: Final = "library/"
_REPOSITORY_LENGTH_MAX: Final = 255

_COMPONENT: Final = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_DOMAIN_COMPONENT: Final = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN: Final = rf"(?:{_DOMAIN_COMPONENT}(?:\.{_DOMAIN_COMPONENT})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PATH: Final = rf"{_COMPONENT}(?:/{_COMPONENT})*"
_TAG: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST: Final = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"

_REFERENCE: Final = re.compile(
    rf"(?P<domain>{_DOMAIN})/(?P<path>{_PATH})(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{_DIGEST}))?"
)
_TAG_ONLY: Final = re.compile(_TAG)
_IDENTIFIER: Final = re.compile(r"[a-f0-9]{64}")
_DIGEST_LENGTHS: Final = {"sha256": 64, "sha384": 96, "sha512": 128}
_LOWER_HEX: Final = re.compile(r"[a-f0-9]+")


class InvalidReferenceError(InvalidParameterError):
    """The text names no image; the message is Docker's, which clients match."""

    def __init__(self, message: str = "invalid reference format") -> None:
        super().__init__(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A repository, and optionally a tag, a digest or both.

    Attributes:
        domain: Host of the registry, with its port when one was given.
        path: Repository inside the registry, e.g. ``library/alpine``.
    """

    domain: str
    path: str
    tag: str | None = None
    digest: Digest | None = None

    @property
    def repository(self) -> str:
        """The full name without tag and digest, e.g. ``docker.io/library/alpine``."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_repository(self) -> str:
        """The repository as people write it, e.g. ``alpine`` or ``localhost:5000/a``."""
        if self.domain != DEFAULT_DOMAIN:
            return self.repository
        short = self.path.removeprefix(_OFFICIAL_PREFIX)
        return self.path if "/" in short else short

    @property
    def canonical(self) -> str:
        """The full name with tag and digest: the key under which it is stored."""
        return self.repository + self._suffix

    @property
    def familiar(self) -> str:
        """The name as people write it, with tag and digest."""
        return self.familiar_repository + self._suffix

    @property
    def _suffix(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return tag + (f"@{self.digest}" if self.digest else "")

    @property
    def target(self) -> str:
        """What a registry is asked for: the digest, else the tag, else ``latest``."""
        return self.digest or self.tag or DEFAULT_TAG

    def with_default_tag(self) -> "Reference":
        """Add ``latest`` when neither tag nor digest was given."""
        return self if self.tag or self.digest else replace(self, tag=DEFAULT_TAG)

    def without_tag(self) -> "Reference":
        """Drop the tag beside a digest: the digest alone decides."""
        return replace(self, tag=None)

    def bare(self) -> "Reference":
        """Return the repository alone."""
        return replace(self, tag=None, digest=None)

    def with_tag(self, tag: str) -> "Reference":
        """Return this repository at `tag`.

        Raises:
            InvalidReferenceError: `tag` is not a tag.
        """
        if not _TAG_ONLY.fullmatch(tag):
            raise InvalidReferenceError("invalid tag format")
        return replace(self, tag=tag)

    def with_digest(self, digest: Digest) -> "Reference":
        """Return this repository at `digest`."""
        return replace(self, digest=digest)


def parse_reference(text: str) -> Reference:
    """Read a reference in familiar or full form; nothing is added but domain and ``library/``.

    Raises:
        InvalidReferenceError: Not a reference, or 64 hex digits, which would be taken for an image ID.
    """
    if _IDENTIFIER.fullmatch(text):
        raise InvalidReferenceError(f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")
    domain, remainder = _split_domain(text)
    name = remainder.partition(":")[0]
    if name.lower() != name:
        raise InvalidReferenceError(f"invalid reference format: repository name ({name}) must be lowercase")
    match = _REFERENCE.fullmatch(f"{domain}/{remainder}")
    if match is None:
        raise InvalidReferenceError
    if len(match["path"]) > _REPOSITORY_LENGTH_MAX:
        raise InvalidReferenceError(f"repository name must not be more than {_REPOSITORY_LENGTH_MAX} characters")
    digest = match["digest"]
    return Reference(
        domain=match["domain"],
        path=match["path"],
        tag=match["tag"],
        digest=check_digest(digest) if digest else None,
    )


def parse_canonical(text: str) -> Reference:
    """Read back what `Reference.canonical` wrote, without checking it again."""
    domain, _, rest = text.partition("/")
    name, _, digest = rest.partition("@")
    path, _, tag = name.partition(":")
    return Reference(domain=domain, path=path, tag=tag or None, digest=Digest(digest) if digest else None)


def check_digest(text: str) -> Digest:
    """Check the form of a digest of any registered algorithm.

    Raises:
        InvalidReferenceError: Unknown algorithm, wrong length or upper-case digits.
    """
    algorithm, _, encoded = text.partition(":")
    if (length := _DIGEST_LENGTHS.get(algorithm)) is None:
        raise InvalidReferenceError("unsupported digest algorithm")
    if len(encoded) != length:
        raise InvalidReferenceError("invalid checksum digest length")
    if not _LOWER_HEX.fullmatch(encoded):
        raise InvalidReferenceError("invalid checksum digest format")
    return Digest(text)


def is_digest(text: str) -> bool:
    """Tell whether `text` is a whole digest, such as a full image ID."""
    try:
        check_digest(text)
    except InvalidReferenceError:
        return False
    return True


def is_identifier(text: str) -> bool:
    """Tell whether `text` is 64 lower-case hex digits: a full ID without its algorithm."""
    return _IDENTIFIER.fullmatch(text) is not None


def matches_pattern(reference: Reference, *, pattern: str) -> bool:
    """Tell whether a shell pattern fits the familiar name, with or without tag, as ``docker images`` does.

    Raises:
        InvalidPatternError: It is none.
    """
    return any(matches_glob(name, pattern=pattern) for name in (reference.familiar, reference.familiar_repository))


def _split_domain(text: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    # Only a dot, a colon, an upper-case letter or the word localhost tells a registry from a user's name.
    if not slash or (not set(".:") & set(first) and first != "localhost" and first == first.lower()):
        domain, remainder = DEFAULT_DOMAIN, text
    else:
        domain, remainder = first, rest
    if domain == _LEGACY_DEFAULT_DOMAIN:
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in remainder:
        remainder = _OFFICIAL_PREFIX + remainder
    return domain, remainder
