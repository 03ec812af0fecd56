"""Whether the name in a signature fits the name that is pulled.

Pure: no I/O.

Spec: containers-policy.json(5), "signedIdentity".
"""

from dataclasses import dataclass
from typing import Protocol

from moorage.oci.reference import InvalidReferenceError, Reference, parse_reference


class SignedIdentity(Protocol):
    """One rule."""

    def accepts(self, image: Reference, *, signed: str) -> bool:
        """Tell whether `signed` may stand in the signature of `image`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchExact:
    """The signature names the same tag or digest."""

    def accepts(self, image: Reference, *, signed: str) -> bool:
        """Tell whether `signed` may stand in the signature of `image`."""
        other = _parsed(signed)
        return other is not None and not _is_bare(other) and other == image


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchRepoDigestOrExact:
    """The signature names the same tag; any tag of the repository when the image is pulled by digest."""

    def accepts(self, image: Reference, *, signed: str) -> bool:
        """Tell whether `signed` may stand in the signature of `image`."""
        other = _parsed(signed)
        if other is None or _is_bare(other):
            return False
        return other == image if image.tag is not None else other.repository == image.repository


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchAny:
    """Any name may stand in the signature, or none: the key alone decides. Only this engine has it.

    It is for sigstore bundles, which name no repository.
    """

    def accepts(self, image: Reference, *, signed: str) -> bool:
        """Tell whether `signed` may stand in the signature of `image`."""
        del image, signed
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchRepository:
    """The signature names the same repository."""

    def accepts(self, image: Reference, *, signed: str) -> bool:
        """Tell whether `signed` may stand in the signature of `image`."""
        other = _parsed(signed)
        return other is not None and other.repository == image.repository


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactReference:
    """The signature names one reference, whatever the image is called here."""

    reference: Reference

    def accepts(self, image: Reference, *, signed: str) -> bool:
        """Tell whether `signed` may stand in the signature of `image`."""
        return _parsed(signed) == self.reference


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactRepository:
    """The signature names one repository, whatever the image is called here."""

    repository: Reference

    def accepts(self, image: Reference, *, signed: str) -> bool:
        """Tell whether `signed` may stand in the signature of `image`."""
        other = _parsed(signed)
        return other is not None and other.repository == self.repository.repository


@dataclass(frozen=True, slots=True, kw_only=True)
class RemapIdentity:
    """The signature names the image where it came from: `prefix` here is `signed_prefix` there."""

    prefix: str
    signed_prefix: str

    def accepts(self, image: Reference, *, signed: str) -> bool:
        """Tell whether `signed` may stand in the signature of `image`."""
        there = self._there(image)
        return there is not None and MatchRepoDigestOrExact().accepts(there, signed=signed)

    def _there(self, image: Reference) -> Reference | None:
        name = image.repository
        if name != self.prefix and not name.startswith(f"{self.prefix}/"):
            return image
        there = _parsed(self.signed_prefix + name.removeprefix(self.prefix))
        if there is None:
            return None
        return Reference(domain=there.domain, path=there.path, tag=image.tag, digest=image.digest)


def _parsed(text: str) -> Reference | None:
    try:
        return parse_reference(text)
    except InvalidReferenceError:
        return None


def _is_bare(reference: Reference) -> bool:
    return reference.tag is None and reference.digest is None
