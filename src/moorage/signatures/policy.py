"""The policy: which images are pulled only with whose signature.

The file is that of podman and skopeo, so that one written for them is taken over as it is.

Pure: no I/O.

Spec: containers-policy.json(5).
"""

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from moorage.oci.reference import InvalidReferenceError, Reference, parse_reference
from moorage.signatures import identities, strict_json
from moorage.signatures.errors import PolicyFileError
from moorage.signatures.identities import SignedIdentity
from moorage.signatures.strict_json import StrictJSONError

_KEY_FIELDS: Final = ("keyPath", "keyPaths", "keyData", "keyDatas")
#: Ways to know a signer that need the public services of sigstore, or a certificate authority.
_FOREIGN_FIELDS: Final = (
    "fulcio",
    "pki",
    "rekorPublicKeyPath",
    "rekorPublicKeyPaths",
    "rekorPublicKeyData",
    "rekorPublicKeyDatas",
)
_PLAIN_IDENTITIES: Final[Mapping[str, SignedIdentity]] = {
    "matchAny": identities.MatchAny(),
    "matchExact": identities.MatchExact(),
    "matchRepoDigestOrExact": identities.MatchRepoDigestOrExact(),
    "matchRepository": identities.MatchRepository(),
}
_UNSUPPORTED_TYPES: Final = frozenset({"signedBy", "signedBaseLayer"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept:
    """Every image is accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """No image is accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsupported:
    """A requirement that this engine cannot check, so no image fulfils it.

    Attributes:
        kind: How the file calls it.
    """

    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySource:
    """Where a public key is: in a file, or in the policy itself.

    Attributes:
        path: The file; empty when `data` is the key.
    """

    path: str = ""
    data: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """An image is accepted with a signature by one of some keys, for a fitting name."""

    keys: tuple[KeySource, ...]
    identity: SignedIdentity


Requirement = Accept | Reject | Unsupported | Signed


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is asked of images, by where they come from.

    Attributes:
        default: Asked of what no scope is about.
        scopes: Of the transport ``docker``; the empty scope is its default.
    """

    default: tuple[Requirement, ...]
    scopes: Mapping[str, tuple[Requirement, ...]]

    def requirements_for(self, reference: Reference) -> tuple[Requirement, ...]:
        """Return what is asked of an image: all of it must be fulfilled."""
        for scope in scopes_of(reference):
            if scope in self.scopes:
                return self.scopes[scope]
        return self.scopes.get("", self.default)


def scopes_of(reference: Reference) -> Iterator[str]:
    """Yield the scopes that an image is in, the narrowest first.

    What is pulled by digest is in no scope of a tag, even if it also names one: the tag is not looked at.
    """
    if reference.digest is not None:
        yield f"{reference.repository}@{reference.digest}"
    elif reference.tag is not None:
        yield f"{reference.repository}:{reference.tag}"
    name = reference.repository
    while name:
        yield name
        name = name.rpartition("/")[0]
    host = reference.domain.partition(":")[0]
    while "." in host:
        host = host.partition(".")[2]
        yield f"*.{host}"


def parse_policy(raw: bytes) -> Policy:
    """Read a policy file.

    Raises:
        PolicyFileError: A field is unknown, missing, twice there or of the wrong form.
    """
    try:
        document = strict_json.fields(strict_json.decode(raw), required=("default",), optional=("transports",))
        transports = {
            transport: {scope: _requirements(value) for scope, value in _object(scopes).items()}
            for transport, scopes in _object(document.get("transports", {})).items()
        }
        return Policy(default=_requirements(document["default"]), scopes=transports.get("docker", {}))
    except StrictJSONError as error:
        raise PolicyFileError(f"invalid policy: {error}") from error


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise StrictJSONError("an object is needed")
    return value


def _requirements(value: Any) -> tuple[Requirement, ...]:
    # An empty list would accept everything by accident.
    if not isinstance(value, list) or not value:
        raise StrictJSONError("a list of at least one requirement is needed")
    return tuple(_requirement(_object(item)) for item in value)


def _requirement(value: dict[str, Any]) -> Requirement:
    kind = value.get("type")
    if not isinstance(kind, str):
        raise StrictJSONError(f"unknown requirement type {kind!r}")
    if kind in {"insecureAcceptAnything", "reject"}:
        strict_json.fields(value, required=("type",))
        return Reject() if kind == "reject" else Accept()
    if kind in _UNSUPPORTED_TYPES:
        return Unsupported(kind=kind)
    if kind != "sigstoreSigned":
        raise StrictJSONError(f"unknown requirement type {kind!r}")
    optional = (*_KEY_FIELDS, *_FOREIGN_FIELDS, "signedIdentity")
    strict_json.fields(value, required=("type",), optional=optional)
    for name in _FOREIGN_FIELDS:
        if name in value:
            return Unsupported(kind=f"sigstoreSigned with {name}")
    identity = value.get("signedIdentity", {"type": "matchRepoDigestOrExact"})
    return Signed(keys=_keys(value), identity=_identity(_object(identity)))


def _keys(value: dict[str, Any]) -> tuple[KeySource, ...]:
    given = [name for name in _KEY_FIELDS if name in value]
    if len(given) != 1:
        raise StrictJSONError(f"exactly one of {', '.join(_KEY_FIELDS)} is needed")
    name = given[0]
    items: Sequence[Any] = value[name] if name.endswith("s") else [value[name]]
    if not isinstance(items, list) or not items:
        raise StrictJSONError(f'"{name}" must be a list of at least one string')
    texts = [strict_json.text(item, name=name) for item in items]
    if name.startswith("keyPath"):
        return tuple(KeySource(path=text) for text in texts)
    try:
        return tuple(KeySource(data=base64.b64decode(text, validate=True)) for text in texts)
    except (binascii.Error, ValueError) as error:
        raise StrictJSONError(f'"{name}" is no base64: {error}') from None


def _identity(value: dict[str, Any]) -> SignedIdentity:
    kind = value.get("type")
    if (plain := _PLAIN_IDENTITIES.get(str(kind))) is not None:
        strict_json.fields(value, required=("type",))
        return plain
    match kind:
        case "exactReference":
            strict_json.fields(value, required=("type", "dockerReference"))
            return identities.ExactReference(reference=_reference(value["dockerReference"], bare=False))
        case "exactRepository":
            strict_json.fields(value, required=("type", "dockerRepository"))
            return identities.ExactRepository(repository=_reference(value["dockerRepository"], bare=True))
        case "remapIdentity":
            strict_json.fields(value, required=("type", "prefix", "signedPrefix"))
            return identities.RemapIdentity(
                prefix=_prefix(value, "prefix"), signed_prefix=_prefix(value, "signedPrefix")
            )
        case _:
            raise StrictJSONError(f"unknown signedIdentity type {kind!r}")


def _reference(value: Any, *, bare: bool) -> Reference:
    text = strict_json.text(value, name="dockerRepository" if bare else "dockerReference")
    try:
        reference = parse_reference(text)
    except InvalidReferenceError as error:
        raise StrictJSONError(f"{text!r}: {error}") from None
    if bare != (reference.tag is None and reference.digest is None):
        raise StrictJSONError(f"{text!r} must have {'no ' if bare else 'a '}tag or digest")
    return reference


def _prefix(value: dict[str, Any], name: str) -> str:
    text = strict_json.text(value[name], name=name)
    try:
        # A host alone is a prefix too.
        reference = parse_reference(f"{text}/any")
    except InvalidReferenceError as error:
        raise StrictJSONError(f'"{name}": {text!r}: {error}') from None
    if reference.repository != f"{text}/any":
        raise StrictJSONError(f'"{name}": {text!r} is not in the fully expanded form')
    return text
