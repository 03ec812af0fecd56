"""The key that signs tokens, its certificate, and its public half for those who verify.

Spec: RFC 7517, "JSON Web Key Set"; RFC 7638, "JSON Web Key Thumbprint"; RFC 7515, "x5c".
"""

import base64
import datetime as dt
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from moorage.errors import InvalidParameterError

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
_CURVES: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_LIFE: Final = dt.timedelta(days=3650)
_EARLIER: Final = dt.timedelta(days=1)
"""Clocks that are late believe the certificate too."""
_KEY_MODE: Final = 0o600
_CERTIFICATE_MODE: Final = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A key with the certificate that it signed itself.

    Attributes:
        algorithm: As JOSE calls it.
        id: Thumbprint of the public key.
    """

    private: PrivateKey
    certificate: x509.Certificate
    algorithm: str
    id: str

    def __repr__(self) -> str:
        return f"SigningKey(algorithm={self.algorithm!r}, id={self.id!r}, ...)"

    @property
    def headers(self) -> dict[str, Any]:
        """What a token says of its key: registries find it by certificate, or by thumbprint."""
        der = self.certificate.public_bytes(serialization.Encoding.DER)
        return {"kid": self.id, "x5c": [base64.b64encode(der).decode()]}

    def key_set(self) -> dict[str, Any]:
        """Return the public key as those read it who verify tokens."""
        return {"keys": [{**_public_jwk(self.private), "kid": self.id, "alg": self.algorithm, "use": "sig"}]}


def signing_key(path: Path, *, issuer: str) -> SigningKey:
    """Read a private key, or make one if there is none; its certificate is beside it, as ``.crt``. Blocks.

    Raises:
        InvalidParameterError: The file holds no key that can sign tokens.
        OSError: It can't be read or written.
    """
    if not path.exists():
        _write(path, _pem(ec.generate_private_key(ec.SECP256R1())), mode=_KEY_MODE)
    private = _read_key(path)
    algorithm = _algorithm(private, path)
    return SigningKey(
        private=private, certificate=_certificate(private, path.with_suffix(".crt"), issuer=issuer),
        algorithm=algorithm, id=_thumbprint(private),
    )  # fmt: skip


def _read_key(path: Path) -> PrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise InvalidParameterError(f"{path}: not a private key in PEM without a password: {error}") from error
    if not isinstance(key, PrivateKey):
        raise InvalidParameterError(f"{path}: tokens are signed with ECDSA or RSA keys")
    return key


def _algorithm(key: PrivateKey, path: Path) -> str:
    if isinstance(key, rsa.RSAPrivateKey):
        return "RS256"
    if (algorithm := _CURVES.get(key.curve.name)) is None:
        raise InvalidParameterError(f"{path}: no tokens are signed with keys on the curve {key.curve.name}")
    return algorithm


def _certificate(key: PrivateKey, path: Path, *, issuer: str) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
    except FileNotFoundError:
        found = None
    except ValueError as error:
        raise InvalidParameterError(f"{path}: not a certificate in PEM: {error}") from error
    if found is not None and found.public_key() == key.public_key() and found.not_valid_after_utc > now:
        return found
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - _EARLIER).not_valid_after(now + _LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256())
    )  # fmt: skip
    _write(path, made.public_bytes(serialization.Encoding.PEM), mode=_CERTIFICATE_MODE)
    return made


def _pem(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, data: bytes, *, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    # A key is for this user alone, from the first byte on.
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)


def _public_jwk(key: PrivateKey) -> dict[str, Any]:
    if isinstance(key, rsa.RSAPrivateKey):
        found: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        found = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {name: value for name, value in found.items() if name in {"kty", "crv", "x", "y", "n", "e"}}


def _thumbprint(key: PrivateKey) -> str:
    text = json.dumps(_public_jwk(key), sort_keys=True, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
