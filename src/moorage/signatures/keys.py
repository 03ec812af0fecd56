"""Keys that sign and verify.

ECDSA over SHA-256 is cosign's default; RSA (PKCS #1 v1.5 over SHA-256) and Ed25519 are known too.

Loading this module loads the library of cryptography: a daemon that verifies nothing should not.

Spec: cosign, SIGNATURE_SPEC.md "Signature Schemes".
"""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from moorage.signatures.errors import KeyFileError

_Public = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
_Private = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

_ENCRYPTED: Final = re.compile(
    rb"-----BEGIN (ENCRYPTED (?:SIGSTORE|COSIGN) PRIVATE KEY)-----\s+([A-Za-z0-9+/=\s]+)-----END \1-----"
)
_LINE: Final = 64
#: Recent signers take the hash that fits the curve; the older ones always took SHA-256.
_CURVE_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {"secp384r1": hashes.SHA384(), "secp521r1": hashes.SHA512()}
_SMALLEST_RSA: Final = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A key that signatures are verified with.

    Attributes:
        source: Where it was found, for people.
    """

    key: _Public
    source: str

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Tell whether the key's owner signed `data`."""
        if any(self._verifies(signature, data, digest) for digest in self._digests()):
            return True
        return isinstance(self.key, ed25519.Ed25519PublicKey) and _verifies_prehashed(self.key, signature, data)

    def _digests(self) -> list[hashes.HashAlgorithm]:
        if isinstance(self.key, ec.EllipticCurvePublicKey) and self.key.curve.name in _CURVE_HASHES:
            return [hashes.SHA256(), _CURVE_HASHES[self.key.curve.name]]
        return [hashes.SHA256()]

    def _verifies(self, signature: bytes, data: bytes, digest: hashes.HashAlgorithm) -> bool:
        try:
            match self.key:
                case ec.EllipticCurvePublicKey():
                    self.key.verify(signature, data, ec.ECDSA(digest))
                case rsa.RSAPublicKey():
                    self.key.verify(signature, data, padding.PKCS1v15(), digest)
                case _:
                    self.key.verify(signature, data)
        except InvalidSignature:
            return False
        return True

    def pem(self) -> bytes:
        """Return the key as a file holds it."""
        return self.key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PrivateKey:
    """A key that signs."""

    key: _Private
    source: str

    @property
    def public(self) -> PublicKey:
        """The key that verifies what this one signs."""
        return PublicKey(key=self.key.public_key(), source=self.source)

    def sign(self, data: bytes) -> bytes:
        """Sign."""
        match self.key:
            case ec.EllipticCurvePrivateKey():
                return self.key.sign(data, ec.ECDSA(hashes.SHA256()))
            case rsa.RSAPrivateKey():
                return self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())
            case _:
                return self.key.sign(data)


def read_public_key(pem: bytes, *, source: str) -> PublicKey:
    """Read a public key.

    Raises:
        KeyFileError: It is none, or of a kind that is not supported.
    """
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFileError(f"{source} is not a public key: {error}") from error
    if not isinstance(key, _Public):
        raise KeyFileError(f"{source}: keys of this kind are not supported; take ECDSA, RSA or Ed25519")
    _check_size(key, source=source)
    return PublicKey(key=key, source=source)


def read_private_key(pem: bytes, *, password: bytes, source: str) -> PrivateKey:
    """Read a private key, cosign's or a plain one.

    Args:
        password: Empty when there is none.

    Raises:
        KeyFileError: It is none, of a kind that is not supported, or the password is wrong.
    """
    try:
        key = _private_key(pem, password=password)
    except KeyFileError as error:
        raise KeyFileError(f"{source}: {error}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError(f"{source} is not a private key, or its password is wrong: {error}") from error
    if not isinstance(key, _Private):
        raise KeyFileError(f"{source}: keys of this kind are not supported; take ECDSA, RSA or Ed25519")
    _check_size(key, source=source)
    return PrivateKey(key=key, source=source)


def make_key_pair(*, password: bytes) -> tuple[bytes, bytes]:
    """Make a key of cosign's default kind; return its file, closed under a password, and that of its public half."""
    from moorage.signatures.boxes import closed  # noqa: PLC0415 - loads a library that plain keys do without

    key = ec.generate_private_key(ec.SECP256R1())
    raw = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    text = base64.b64encode(closed(raw, password=password))
    lines = b"\n".join(text[at : at + _LINE] for at in range(0, len(text), _LINE))
    name = b"ENCRYPTED SIGSTORE PRIVATE KEY"
    private = b"-----BEGIN %b-----\n%b\n-----END %b-----\n" % (name, lines, name)
    return private, PublicKey(key=key.public_key(), source="").pem()


def _verifies_prehashed(key: ed25519.Ed25519PublicKey, signature: bytes, data: bytes) -> bool:
    """Verify as Ed25519ph, which cosign 3 makes of an Ed25519 key.

    Spec: RFC 8032, "Ed25519ph".
    """
    import nacl.bindings  # noqa: PLC0415 - loads a library that other keys do without
    import nacl.exceptions  # noqa: PLC0415 - as above

    if len(signature) != nacl.bindings.crypto_sign_BYTES:
        return False
    state = nacl.bindings.crypto_sign_ed25519ph_state()
    nacl.bindings.crypto_sign_ed25519ph_update(state, data)
    try:
        return nacl.bindings.crypto_sign_ed25519ph_final_verify(state, signature, key.public_bytes_raw())
    except nacl.exceptions.BadSignatureError:
        return False


def _private_key(pem: bytes, *, password: bytes) -> object:
    found = _ENCRYPTED.search(pem)
    if found is None:
        return serialization.load_pem_private_key(pem, password=password or None)
    from moorage.signatures.boxes import opened  # noqa: PLC0415 - loads a library that plain keys do without

    try:
        box = base64.b64decode(b"".join(found[2].split()), validate=True)
    except binascii.Error as error:
        raise KeyFileError(f"the encrypted key is malformed: {error}") from error
    return serialization.load_der_private_key(opened(box, password=password), password=None)


def _check_size(key: _Public | _Private, *, source: str) -> None:
    if isinstance(key, rsa.RSAPublicKey | rsa.RSAPrivateKey) and key.key_size < _SMALLEST_RSA:
        raise KeyFileError(f"{source}: an RSA key of {key.key_size} bits is too short")
